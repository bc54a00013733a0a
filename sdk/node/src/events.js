/**
 * Live events of a server (server-sent events), for as long as somebody listens; a stream that breaks is opened again.
 */

import { ConfigurationError, DistqError, checkNames } from "./errors.js";
import { sleep } from "./sleep.js";

/** Frames come once a second: a stream that is silent for so long is dead. */
const SILENT_MS = 15_000;
const MOST_PAUSE_MS = 5000;
const MOST_FRAME = 16 << 20;

/** Events as they come. While the server is not there: one `away` with the reason, and then silence until it is. */
export async function* events(http, options = {}) {
  const { signal } = checkNames(options, ["signal"], "events()");
  let pause = 0;
  for (;;) {
    try {
      for await (const event of stream(http, signal)) {
        pause = 0;
        yield event;
      }
      throw new DistqError("the server has ended the stream");
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ConfigurationError) throw error;
      if (pause === 0) yield { event: "away", data: { reason: error.cause?.message ?? error.message } };
    }
    pause = Math.min(MOST_PAUSE_MS, Math.max(100, pause * 2));
    await sleep(pause, signal);
  }
}

async function* stream(http, signal) {
  const silence = new AbortController();
  const both = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
  const listen = () => setTimeout(() => silence.abort(new DistqError("the stream is silent")), SILENT_MS);
  let timer = listen();
  try {
    const headers = { ...http.headers, Accept: "text/event-stream" };
    const response = await fetch(`${http.url}/api/v1/events`, { headers, redirect: "manual", signal: both });
    if (response.status >= 300 && response.status < 500 && response.status !== 429) {
      throw new ConfigurationError(`the server says ${response.status} to who wants its events`);
    }
    if (response.status !== 200 || !/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) {
      throw new DistqError(`the server says ${response.status}, and sends no events`);
    }
    for await (const frame of frames(response.body)) {
      clearTimeout(timer); // however long the listener takes, that is no silence of the server
      yield frame;
      timer = listen();
    }
  } finally {
    clearTimeout(timer);
    silence.abort(); // whoever stops listening closes the connection
  }
}

/** The events in a stream of bytes, by its blank lines. */
export async function* frames(body) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MOST_FRAME) throw new DistqError("an event has no end");
    const whole = text.split(/\r?\n\r?\n/);
    text = whole.pop();
    for (const one of whole) {
      const event = eventOf(one);
      if (event) yield event;
    }
  }
}

function eventOf(text) {
  let event = "message";
  const data = [];
  for (const line of text.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  if (!data.length) return undefined;
  try {
    return { event, data: JSON.parse(data.join("\n")) };
  } catch {
    throw new DistqError("an event is no JSON");
  }
}
