/** For programs that reach no broker: the same calls and handles over `distq server`. */

import { randomUUID } from "node:crypto";

import { grouped } from "./bulk.js";
import { giveUpAt } from "./durations.js";
import {
  AlreadyEnqueued,
  ConfigurationError,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskExpired,
  TaskFailed,
  UnknownTask,
  checkNames,
  shown,
} from "./errors.js";
import { events } from "./events.js";
import { Http } from "./http.js";
import { API, Operator, checkText, part, translated } from "./operator.js";
import { checkArguments } from "./producer.js";

/** Of one request; a longer wait is several. */
const MOST_WAIT_MS = 30_000;
/** Calls in one request that is recognized when it is sent again, and about so many bytes of them. */
const BULK_BYTES = 2 << 20;
const PENDING = Symbol("pending");

/** Options of a call → as the server calls them. */
const OPTIONS = {
  queue: "queue",
  priority: "priority",
  delay: "delay",
  eta: "eta",
  expires: "expires",
  retries: "retries",
  id: "id",
  headers: "headers",
  resultTtl: "result_ttl",
  softTimeLimit: "soft_time_limit",
  timeLimit: "time_limit",
  durable: "durable",
  unique: "unique",
  uniqueUntil: "unique_until",
  uniqueFor: "unique_for",
  onDuplicate: "on_duplicate",
  throttle: "throttle",
  debounce: "debounce",
  debounceMax: "debounce_max",
};

export class Client {
  #http;

  constructor(url, options = {}) {
    checkNames(options, ["key", "timeout", "maxBody"], "new Client()");
    this.#http = new Http(url, { timeout: 10, ...options });
    /** Looking after queues, limits, schedules, workers … */
    this.api = new Operator(this.#http);
  }

  /** Enqueues one call. The server checks its arguments against the function's signature. */
  async enqueue(type, args = [], kwargs = {}, options = {}) {
    const [positional, named] = checkArguments(args, kwargs);
    const { signal, ...said } = options;
    const body = this.#http.body({ type, args: positional, kwargs: named, ...translated(said, OPTIONS, "enqueue()") });
    const once = said.id === undefined || said.id === null ? randomUUID() : undefined;
    const expected = [200, 201, 409];
    const { status, document } = await this.#http.ask("POST", `${API}/tasks`, { body, once, expected, signal });
    if (status === 409) throw this.#refused([document]);
    return new RemoteHandle(this.#http, document.id, document.queue, document.created);
  }

  /** Enqueues many calls of one type: each an array of positional, or an object of keyword arguments. */
  async enqueueMany(type, calls, options = {}) {
    const { signal, ...said } = options;
    if (said.id !== undefined) throw new ConfigurationError("id names one call, enqueueMany makes many");
    const more = translated(said, OPTIONS, "enqueueMany()");
    const texts = Array.from(calls, (one) => this.#http.body(one));
    const answers = [];
    for (const group of grouped(texts, BULK_BYTES)) {
      const body = `${this.#http.body({ type, ...more }).slice(0, -1)},"calls":[${group.join()}]}`;
      const request = { body, once: randomUUID(), expected: [201, 409], signal };
      answers.push((await this.#http.ask("POST", `${API}/tasks/bulk`, request)).document);
    }
    if (answers.some(({ refused }) => refused)) throw this.#refused(answers);
    return this.#handles(answers);
  }

  /** The handle of the task with this id. */
  handle(id) {
    return new RemoteHandle(this.#http, checkText(id, "id"));
  }

  /** The return value of the task with this id; waits at most `wait` for it (seconds or text; nothing said: for ever). */
  async result(id, options) {
    return this.handle(id).get(options);
  }

  /** Numbers once a second, for as long as you listen: `for await (const { event, data } of client.events())`. */
  events(options) {
    return events(this.#http, options);
  }

  #handles(answers) {
    return answers.flatMap(({ ids = [] }) => ids).map((id) => new RemoteHandle(this.#http, id));
  }

  /** With `onDuplicate: "raise"`: all calls are made but those that have their task already. */
  #refused(answers) {
    const { detail, refused } = answers.find((one) => one.refused) ?? answers[0];
    return Object.assign(new AlreadyEnqueued(String(detail), refused, this.#handles(answers)), { status: 409 });
  }
}

/** One requested call, over HTTP. */
export class RemoteHandle {
  #http;

  constructor(http, id, queue, created = true) {
    this.#http = http;
    this.id = id;
    this.queue = queue;
    this.created = created;
  }

  async status(options = {}) {
    const { signal } = checkNames(options, ["signal"], "status()");
    const { status, document } = await this.#result("", 0, signal);
    return status === 404 ? "unknown" : document.status;
  }

  async get(options = {}) {
    const { wait, signal } = checkNames(options, ["wait", "signal"], "get()");
    const giveUp = giveUpAt(wait);
    for (;;) {
      const waitMs = Math.min(MOST_WAIT_MS, Math.max(0, giveUp - performance.now()));
      const value = valueOf(this.id, await this.#result(`?wait=${(waitMs / 1000).toFixed(3)}`, waitMs, signal));
      if (value !== PENDING) return value;
      if (performance.now() >= giveUp) {
        throw new ResultTimeout(`task ${this.id} has not ended within ${shown(wait)} s`, this.id);
      }
    }
  }

  async cancel(options = {}) {
    const names = ["running", "kill", "signal"];
    const { running = false, kill = false, signal } = checkNames(options, names, "cancel()");
    const body = this.#http.body({ running, kill });
    const request = { body, once: randomUUID(), expected: [200, 404, 409], signal };
    return (await this.#http.ask("POST", `${API}/tasks/${part(this.id)}/cancel`, request)).status === 200;
  }

  toJSON() {
    return { id: this.id, queue: this.queue, created: this.created };
  }

  #result(query, patienceMs, signal) {
    return this.#http.ask("GET", `${API}/results/${part(this.id)}${query}`, {
      expected: [200, 202, 404],
      patienceMs,
      signal,
    });
  }
}

function valueOf(id, { status, document }) {
  if (status === 404) throw new UnknownTask(`no task ${id} is known to the server`, id);
  switch (document.status) {
    case "completed":
      if (document.is_kept === false) {
        throw new ResultNotKept(`task ${id} is completed, but keeps no result (resultTtl: 0)`, id);
      }
      return document.result;
    case "dead":
      throw new TaskFailed(id, document.error ?? { type: "Dead" });
    case "cancelled":
      throw new TaskCancelled(`task ${id} was cancelled`, id);
    case "expired":
      throw new TaskExpired(`task ${id} could not start before it expired`, id);
  }
  return PENDING;
}
