/**
 * For programs that reach no broker: the same calls and handles over `distq server`.
 *
 * What an answer holds is told by the server's own document (/api/openapi.json); names in it stay as they are there.
 */

import { randomUUID } from "node:crypto";

import { giveUpAt } from "./durations.js";
import {
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
import { checkArguments } from "./producer.js";

const API = "/api/v1";
/** Of one request; a longer wait is several. */
const MOST_WAIT_MS = 30_000;
/** Calls in one request that is recognized when it is sent again, and about so many bytes of them. */
const BULK = 1000;
const BULK_BYTES = 2 << 20;
const PENDING = Symbol("pending");

const OPTIONS = {
  queue: "queue",
  priority: "priority",
  delay: "delay",
  eta: "eta",
  expires: "expires",
  retries: "retries",
  id: "id",
  resultTtl: "result_ttl",
  softTimeLimit: "soft_time_limit",
  timeLimit: "time_limit",
  durable: "durable",
};
const SCHEDULE = ["when", "type", "args", "kwargs", "tz", "jitter", "overlap", "missed", "queue", "priority"];
const CHANGES = ["when", "args", "kwargs", "tz", "jitter", "overlap", "missed"];
const CHOICE = {
  ids: "ids",
  type: "type",
  error: "error",
  olderThan: "older_than",
  queue: "queue",
  all: "all",
  dryRun: "dry_run",
};

export class Client {
  #http;

  constructor(url, options = {}) {
    checkNames(options, ["key", "timeout", "maxBody"], "new Client()");
    this.#http = new Http(url, { timeout: 10, ...options });
  }

  // -- calling -------------------------------------------------------------------------------------------------------

  /** Enqueues one call. The server checks its arguments against the function's signature. */
  async enqueue(type, args = [], kwargs = {}, options = {}) {
    const [positional, named] = checkArguments(args, kwargs);
    const { signal, ...said } = options;
    const body = this.#http.body({ type, args: positional, kwargs: named, ...translated(said, OPTIONS, "enqueue()") });
    const once = said.id === undefined ? randomUUID() : undefined;
    const { document } = await this.#ask("POST", "/tasks", { body, once, expected: [200, 201], signal });
    return new RemoteHandle(this.#http, document.id, document.queue, document.created);
  }

  /** Enqueues many calls of one type: each an array of positional, or an object of keyword arguments. */
  async enqueueMany(type, calls, options = {}) {
    const { signal, ...said } = options;
    if (said.id !== undefined) throw new ConfigurationError("id names one call, enqueueMany makes many");
    const more = translated(said, OPTIONS, "enqueueMany()");
    const texts = Array.from(calls, (one) => this.#http.body(one));
    const handles = [];
    for (const group of grouped(texts)) {
      const body = `${this.#http.body({ type, ...more }).slice(0, -1)},"calls":[${group.join()}]}`;
      const { document } = await this.#ask("POST", "/tasks/bulk", {
        body,
        once: randomUUID(),
        expected: [201],
        signal,
      });
      handles.push(...document.ids.map((id) => new RemoteHandle(this.#http, id)));
    }
    return handles;
  }

  /** The handle of the task with this id. */
  handle(id) {
    return new RemoteHandle(this.#http, checkText(id, "id"));
  }

  /**
   * The return value of the task with this id; waits at most `wait` for it (seconds or text; nothing said: for
   * ever).
   */
  async result(id, options) {
    return this.handle(id).get(options);
  }

  /** All that is known of a task. */
  async task(id, { signal } = {}) {
    return (await this.#ofTask("GET", id, "", { signal })).document;
  }

  /** Why a task is not running. */
  async why(id, { signal } = {}) {
    return (await this.#ofTask("GET", id, "/why", { signal })).document;
  }

  /** Runs a dead task again, with other arguments if some are given. */
  async retry(id, { args, kwargs, signal } = {}) {
    const body = this.#http.body({ args, kwargs });
    const { document } = await this.#ofTask("POST", id, "/retry", { body, isRepeatable: false, signal });
    return new RemoteHandle(this.#http, document.id, document.queue, document.created);
  }

  // -- looking after it ----------------------------------------------------------------------------------------------

  /** Tasks that run, wait, are scheduled, dead or lately completed, one after the other. */
  tasks({ state, type, queue, signal } = {}) {
    return this.#pages("/tasks", "tasks", { state, type, queue }, signal);
  }

  /** How many tasks are where, by queue. */
  async queues(options) {
    return (await this.#get("/queues", options)).queues;
  }

  queue(name, options) {
    return this.#get(`/queues/${part(name)}`, options);
  }

  /** Cancels what waits in a queue, or in one `place` of it (high, default, low, scheduled). */
  purge(queue, { place, dryRun = false, signal } = {}) {
    return this.#post(`/queues/${part(queue)}/purge`, { place, dry_run: dryRun }, signal);
  }

  /** Dead letters with their last error, one after the other. */
  deadLetters({ type, error, olderThan, queue, signal } = {}) {
    return this.#pages("/dead", "dead", { type, error, older_than: olderThan, queue }, signal);
  }

  /** Of what they died: by type and class of the error. */
  deadGroups({ queue, signal } = {}) {
    return this.#get(`/dead/groups${query({ queue })}`, { signal });
  }

  /**
   * Runs dead letters again: { ids } or { type, error, olderThan, queue } or { all: true }; `rate`: one after the
   * other.
   */
  replay({ signal, ...which }) {
    return this.#post("/dead/replay", translated(which, { ...CHOICE, rate: "rate" }, "replay()"), signal, false);
  }

  /** Deletes dead letters for good. */
  purgeDead({ signal, ...which }) {
    return this.#post("/dead/purge", translated(which, CHOICE, "purgeDead()"), signal);
  }

  /** Hosts, their processes, and the tasks that these hold. */
  async workers(options) {
    return (await this.#get("/workers", options)).hosts;
  }

  stats(options) {
    return this.#get("/stats", options);
  }

  /** Numbers once a second, for as long as you listen: `for await (const { event, data } of client.events())`. */
  events(options) {
    return events(this.#http, options);
  }

  // -- schedules -----------------------------------------------------------------------------------------------------

  /** Makes a schedule: `client.schedule("report", { when: "0 7 * * *", type: "report", tz: "Europe/Berlin" })`. */
  async schedule(name, { signal, ...said }) {
    checkNames(said, SCHEDULE, "schedule()");
    const body = this.#http.body({ name, ...said });
    return (await this.#ask("POST", "/schedules", { body, isRepeatable: false, expected: [201], signal })).document;
  }

  async schedules(options) {
    return (await this.#get("/schedules", options)).schedules;
  }

  /** One, with its last 20 ticks. */
  getSchedule(name, options) {
    return this.#get(`/schedules/${part(name)}`, options);
  }

  async editSchedule(name, { signal, ...said }) {
    checkNames(said, CHANGES, "editSchedule()");
    return (await this.#ask("PATCH", `/schedules/${part(name)}`, { body: this.#http.body(said), signal })).document;
  }

  pauseSchedule(name, { signal } = {}) {
    return this.#post(`/schedules/${part(name)}/pause`, undefined, signal);
  }

  resumeSchedule(name, { signal } = {}) {
    return this.#post(`/schedules/${part(name)}/resume`, undefined, signal);
  }

  /** Enqueues its task now; the next tick stays what it is. */
  async triggerSchedule(name, { signal } = {}) {
    const made = await this.#post(`/schedules/${part(name)}/trigger`, undefined, signal, false);
    return new RemoteHandle(this.#http, made.id, made.queue, made.created);
  }

  async deleteSchedule(name, { signal } = {}) {
    await this.#ask("DELETE", `/schedules/${part(name)}`, { expected: [204], isRepeatable: false, signal });
  }

  // -- requests ------------------------------------------------------------------------------------------------------

  #ask(method, path, options) {
    return this.#http.ask(method, API + path, options);
  }

  async #ofTask(method, id, path, options) {
    const reply = await this.#ask(method, `/tasks/${part(id)}${path}`, { ...options, expected: [200, 404] });
    if (reply.status === 404) throw new UnknownTask(`no task ${id} is known to the server`, id);
    return reply;
  }

  async #get(path, { signal } = {}) {
    return (await this.#ask("GET", path, { signal })).document;
  }

  async #post(path, document, signal, isRepeatable = true) {
    const body = document === undefined ? undefined : this.#http.body(document);
    return (await this.#ask("POST", path, { body, isRepeatable, signal })).document;
  }

  async *#pages(path, name, conditions, signal) {
    let cursor;
    do {
      const page = await this.#get(path + query({ ...conditions, limit: 200, cursor }), { signal });
      yield* page[name];
      cursor = page.next;
    } while (cursor);
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

  async status({ signal } = {}) {
    const { status, document } = await this.#result("", 0, signal);
    return status === 404 ? "unknown" : document.status;
  }

  async get({ wait, signal } = {}) {
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

  async cancel({ running = false, kill = false, signal } = {}) {
    const options = { body: this.#http.body({ running, kill }), expected: [200, 404, 409], signal };
    return (await this.#http.ask("POST", `${API}/tasks/${part(this.id)}/cancel`, options)).status === 200;
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

function translated(said, names, where) {
  checkNames(said, Object.keys(names), where);
  const given = Object.entries(said).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(given.map(([name, value]) => [names[name], value]));
}

function* grouped(texts) {
  let group = [];
  let size = 0;
  for (const text of texts) {
    group.push(text);
    size += text.length;
    if (group.length === BULK || size >= BULK_BYTES) {
      yield group;
      [group, size] = [[], 0];
    }
  }
  if (group.length) yield group;
}

function query(conditions) {
  const given = Object.entries(conditions).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

function part(name) {
  return encodeURIComponent(checkText(name, "name"));
}

/** A name in a path: not one that the path would take for something else. */
function checkText(value, what) {
  if (typeof value !== "string" || !value.isWellFormed() || /^\.{0,2}$/.test(value)) {
    throw new ConfigurationError(`${what}: ${shown(value)}: give text`);
  }
  return value;
}
