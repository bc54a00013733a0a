/** HTTP to one `distq server`: what is sent, what is sent again, and what errors mean. It knows nothing of tasks. */

import { seconds } from "./durations.js";
import {
  BrokerUnavailable,
  ConfigurationError,
  DistqError,
  InvalidArguments,
  NotSerializable,
  PayloadTooLarge,
  UnknownQueue,
  UnknownSchedule,
  UnknownTask,
  shown,
} from "./errors.js";
import { sleep } from "./sleep.js";

/** What a server takes in one request, unless somebody has changed it. */
export const MOST_BODY = 8 << 20;
const MOST_ANSWER = 64 << 20;
const LATER = [429, 503];

export class Http {
  constructor(url, { key, timeout, maxBody = MOST_BODY }) {
    this.url = checkUrl(url);
    if (key !== undefined && (typeof key !== "string" || !/^[\x21-\x7e]+$/.test(key))) {
      throw new ConfigurationError("key: a key is printable ASCII without spaces");
    }
    this.headers = key === undefined ? {} : { "X-API-Key": key };
    this.timeoutMs = seconds(timeout, "timeout") * 1000;
    if (!(this.timeoutMs > 0)) throw new ConfigurationError(`timeout: ${shown(timeout)}: give a time above 0`);
    this.maxBody = maxBody;
  }

  /**
   * Status and document of an answer that is `expected`; throws what the server says of others.
   *
   * A request whose answer is lost is sent again only if that does nothing twice: `isRepeatable`. What the server wants
   * later (429, 503) waits for as long as it says, while there is time. `patienceMs`: for which it may be silent on
   * purpose.
   */
  async ask(method, path, { body, expected = [200], once, isRepeatable = true, patienceMs = 0, signal } = {}) {
    const headers = { ...this.headers, Accept: "application/json" };
    if (once !== undefined) headers["Idempotency-Key"] = once;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const request = { method, headers, body, redirect: "manual" };
    const turns = new Turns(this.timeoutMs + patienceMs);
    for (;;) {
      let reply;
      try {
        reply = await this.#attempt(path, request, turns.leftMs(), signal);
      } catch (error) {
        signal?.throwIfAborted();
        await sleep(turns.afterLoss(error, isRepeatable), signal);
        continue;
      }
      if (!LATER.includes(reply.status) || (reply.status === 503 && !isRepeatable))
        return understood(reply, expected, path);
      await sleep(turns.afterReply(reply), signal);
    }
  }

  /** A body, if it can travel and is not too large: it is looked at before anything is sent. */
  body(document) {
    const text = JSON.stringify(jsonOf(document, "", 0));
    if (Buffer.byteLength(text) > this.maxBody) {
      throw new PayloadTooLarge(
        `the request is above the limit of ${this.maxBody} bytes: store the data elsewhere, send its address`,
      );
    }
    return text;
  }

  async #attempt(path, request, limitMs, signal) {
    const limit = AbortSignal.timeout(Math.ceil(limitMs));
    const both = signal ? AbortSignal.any([signal, limit]) : limit;
    const response = await fetch(this.url + path, { ...request, signal: both });
    return {
      status: response.status,
      retryAfter: response.headers.get("retry-after"),
      document: await documentOf(response),
    };
  }
}

/** When a request is sent again, and when it is given up. */
class Turns {
  /** The first time at once: the connection was kept, and the server has closed it. */
  #pauseMs = 0;

  constructor(ms) {
    this.until = performance.now() + ms;
  }

  leftMs() {
    return Math.max(1, this.until - performance.now());
  }

  afterLoss(error, isRepeatable) {
    if (!["TypeError", "TimeoutError"].includes(error?.name)) throw error;
    const why =
      error.name === "TimeoutError"
        ? "no answer in time"
        : (error.cause?.code ?? error.cause?.message ?? error.message);
    if (!isRepeatable) {
      throw new BrokerUnavailable(`no answer: ${why}; it may have been done: look before you call again`, {
        cause: error,
      });
    }
    return this.#after(`no answer: ${why}`, error.name === "TimeoutError" ? Infinity : this.#pauseMs, error);
  }

  afterReply(reply) {
    const given = /^\d{1,6}$/.test(reply.retryAfter ?? "") ? Number(reply.retryAfter) : 1;
    return this.#after(`the server says ${reply.status}`, given * 1000);
  }

  #after(why, pauseMs, cause) {
    if (performance.now() + pauseMs >= this.until) {
      throw new BrokerUnavailable(`${why}; it was not there within the time limit`, { cause });
    }
    this.#pauseMs = Math.min(1000, Math.max(50, this.#pauseMs * 2));
    return pauseMs;
  }
}

/** The JSON of an answer; undefined if it is none, as from something between us and the server. */
async function documentOf(response) {
  const chunks = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MOST_ANSWER) throw new DistqError(`the server's answer has more than ${MOST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The answer, if it is one of those; else the error that it means. */
function understood({ status, document }, expected, path) {
  const isObject = typeof document === "object" && document !== null;
  if (expected.includes(status)) {
    if (isObject || status === 204) return { status, document };
    throw new DistqError(`the server says ${status}, but not with the JSON of distq: is this its address?`);
  }
  const errors = isObject && Array.isArray(document.errors) ? document.errors : [];
  const field = String(errors[0]?.field ?? "");
  const detail = isObject ? String(document.detail ?? "") : "";
  const said = field && !detail.includes(field) ? `${field}: ${errors[0].message}` : detail;
  throw Object.assign(errorOf(status, field, said, path), { status, errors });
}

function errorOf(status, field, said, path) {
  if (status === 413) return new PayloadTooLarge(said || "the server takes no such large request");
  if (status === 400 && /(^|\.)(args|kwargs|calls)(\.|$)/.test(field)) return new InvalidArguments(said);
  if (status === 400 && field === "queue") return new UnknownQueue(said);
  if ([400, 401, 403].includes(status)) return new ConfigurationError(said || `the server says ${status}`);
  const [, , , noun, name = ""] = path.split("?")[0].split("/");
  if (status === 404 && noun === "tasks") return new UnknownTask(said, decodeURIComponent(name));
  if (status === 404 && noun === "queues") return new UnknownQueue(said);
  if (status === 404 && noun === "schedules") return new UnknownSchedule(said);
  if (LATER.includes(status)) return new BrokerUnavailable(said || `the server says ${status}`);
  const hint = status >= 300 && status < 400 ? ": give the address that it redirects to" : "";
  return new DistqError(`the server says ${status}${said ? `: ${said}` : hint}`);
}

function checkUrl(url) {
  let parts;
  try {
    parts = new URL(url);
  } catch {
    parts = undefined;
  }
  if (!parts || !/^https?:$/.test(parts.protocol) || parts.username || parts.password || parts.search || parts.hash) {
    throw new ConfigurationError("give the server's address as http://host:port or https://host, without a password");
  }
  return parts.href.replace(/\/+$/, "");
}

/** A value as JSON has it. JSON.stringify would send null for NaN and {} for a Map, without a word. */
export function jsonOf(value, path, depth) {
  const refuse = (why) => new NotSerializable(`${path.replace(/^\./, "") || "value"}: ${why}`);
  if (depth > 400) throw refuse("nested too deeply; does it contain itself?");
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw refuse(`${value} cannot travel as JSON`);
    return value;
  }
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map((item, i) => jsonOf(item, `${path}.${i}`, depth + 1));
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refuse("this Date is invalid");
    return value.toISOString();
  }
  const prototype = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (prototype === null || prototype === Object.prototype) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.fromEntries(entries.map(([name, item]) => [name, jsonOf(item, `${path}.${name}`, depth + 1)]));
  }
  const what = typeof value === "object" ? value.constructor?.name : typeof value;
  throw refuse(`a ${what} cannot travel as JSON: give text, numbers, arrays and plain objects`);
}
