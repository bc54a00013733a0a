/**
 * What people ask of a server beside calls: queues, dead letters, schedules, limits, workers. One method for each, with
 * the names of Python's `client.api`.
 *
 * They return what the server answers, as its document (/api/openapi.json) says, with the names that stand there.
 */

import { randomUUID } from "node:crypto";

import { ConfigurationError, checkNames, shown } from "./errors.js";

export const API = "/api/v1";

const CONDITIONS = { ids: "ids", type: "type", error: "error", olderThan: "older_than", queue: "queue", all: "all" };
const CHOICE = { ...CONDITIONS, dryRun: "dry_run" };
const PAGE = { queue: "queue", type: "type", limit: "limit", cursor: "cursor" };
const PLACE = named("queue", "type", "key");
const RHYTHM = named("args", "kwargs", "tz", "jitter", "overlap", "missed");

export class Operator {
  #http;

  constructor(http) {
    this.#http = http;
  }

  // -- tasks ---------------------------------------------------------------------------------------------------------

  /** A page of tasks; `next` is the `cursor` of the one behind it. */
  tasks(options = {}) {
    return this.#get("tasks", options, { ...PAGE, state: "state" });
  }

  /** The same, one after the other over all pages. */
  everyTask(options = {}) {
    return this.#every((page) => this.tasks(page), "tasks", options);
  }

  /** All that is known of one. */
  task(id, options = {}) {
    return this.#get(`tasks/${part(id)}`, options);
  }

  /** Why it does not run. */
  why(id, options = {}) {
    return this.#get(`tasks/${part(id)}/why`, options);
  }

  /** Runs a dead task again, as it was or with other arguments. */
  retry(id, options = {}) {
    return this.#post(`tasks/${part(id)}/retry`, options, named("args", "kwargs"), false);
  }

  /** Deletes a dead task for good. */
  delete(id, options = {}) {
    return this.#send("DELETE", `tasks/${part(id)}`, options, {}, false);
  }

  // -- queues, pauses, limits, budgets -------------------------------------------------------------------------------

  /** How many tasks are where. */
  queues(options = {}) {
    return this.#get("queues", options);
  }

  queue(name, options = {}) {
    return this.#get(`queues/${part(name)}`, options);
  }

  /** Cancels what waits in a queue: at one `place` (high, default, low, scheduled), or all. */
  purge(queue, options = {}) {
    return this.#post(`queues/${part(queue)}/purge`, options, { place: "place", dryRun: "dry_run" }, false);
  }

  pauses(options = {}) {
    return this.#get("pauses", options);
  }

  /** Hands out nothing more of a queue, a type, or a key of a type, until it is resumed. */
  pause(options) {
    return this.#post("pauses", options, { ...PLACE, reason: "reason" });
  }

  resume(options) {
    return this.#post("pauses/resume", options, PLACE);
  }

  /** What limits the types, or one. */
  limits(type, options = {}) {
    return this.#get("limits", { type, ...options }, named("type"));
  }

  /** Limits a type from now on: `setLimits("email", { rate: "20/s", maxRunning: ["3", "1 per tenant"] })`. */
  setLimits(type, options) {
    return this.#send("PATCH", `limits/${part(type)}`, options, {
      rate: "rate",
      maxRunning: "max_running",
      queue: "queue",
    });
  }

  /** What is declared holds again. */
  clearLimits(type, { queue, ...options } = {}) {
    return this.#send("DELETE", `limits/${part(type)}${query({ queue })}`, options);
  }

  budgets(options = {}) {
    return this.#get("budgets", options);
  }

  /** What is left of one, of a key if it has some. */
  budget(name, options = {}) {
    return this.#get(`budgets/${part(name)}`, options, named("key"));
  }

  /** Nobody takes from a budget for so long. */
  park(budget, retryAfter, options = {}) {
    const said = { retryAfter, ...options };
    return this.#post(`budgets/${part(budget)}/park`, said, { retryAfter: "retry_after", key: "key" });
  }

  // -- dead letters --------------------------------------------------------------------------------------------------

  /** A page of dead letters; `next` is the `cursor` of the one behind it. */
  dead(options = {}) {
    return this.#get("dead", options, { ...PAGE, error: "error", olderThan: "older_than" });
  }

  /** The same, one after the other over all pages. */
  everyDead(options = {}) {
    return this.#every((page) => this.dead(page), "dead", options);
  }

  /** Of what they died: by type and class of the error. */
  deadGroups(options = {}) {
    return this.#get("dead/groups", options, named("queue"));
  }

  /** Runs dead tasks again: those with these `ids`, all that fit the conditions, or `all`; `rate`: one after the other. */
  replay(options) {
    return this.#post("dead/replay", options, { ...CHOICE, rate: "rate" }, false);
  }

  /** Deletes dead tasks for good; the same conditions. */
  purgeDead(options) {
    return this.#post("dead/purge", options, CHOICE, false);
  }

  // -- schedules -----------------------------------------------------------------------------------------------------

  /** All of them, with their next ticks. */
  schedules(options = {}) {
    return this.#get("schedules", options);
  }

  /** One of them, with its last ticks. */
  schedule(name, options = {}) {
    return this.#get(`schedules/${part(name)}`, options);
  }

  /** Makes one that outlives all programs: `createSchedule("report", "0 7 * * *", "report", { tz: "Europe/Berlin" })`. */
  createSchedule(name, when, type, options = {}) {
    const names = { ...RHYTHM, ...named("name", "when", "type", "queue", "priority") };
    return this.#post("schedules", { name, when, type, ...options }, names, false);
  }

  /** Changes what is given. */
  editSchedule(name, changes) {
    return this.#send("PATCH", `schedules/${part(name)}`, changes, { ...RHYTHM, when: "when" });
  }

  /** It does not tick until it is resumed. */
  pauseSchedule(name, options = {}) {
    return this.#post(`schedules/${part(name)}/pause`, options);
  }

  resumeSchedule(name, options = {}) {
    return this.#post(`schedules/${part(name)}/resume`, options);
  }

  /** What the code says holds again. */
  resetSchedule(name, options = {}) {
    return this.#post(`schedules/${part(name)}/reset`, options);
  }

  /** Enqueues its task now: once, also if the answer is lost and this is sent again. */
  triggerSchedule(name, options = {}) {
    return this.#post(`schedules/${part(name)}/trigger`, options);
  }

  /** Deletes one that no code declares. */
  deleteSchedule(name, options = {}) {
    return this.#send("DELETE", `schedules/${part(name)}`, options, {}, false);
  }

  // -- workers and numbers -------------------------------------------------------------------------------------------

  /** Hosts, their processes, and what these hold. */
  workers(options = {}) {
    return this.#get("workers", options);
  }

  /** Tells a host to take nothing more (`quiet`), to go on (`resume`), or to end (`stop`). */
  tell(host, order, options = {}) {
    return this.#post(`workers/${part(host)}/${part(order)}`, options);
  }

  /** What has happened, and how many tasks are where. */
  stats(options = {}) {
    return this.#get("stats", options);
  }

  // -- requests ------------------------------------------------------------------------------------------------------

  async #get(path, { signal, ...said }, names = {}) {
    const conditions = translated(said, names, path);
    return (await this.#http.ask("GET", `${API}/${path}${query(conditions)}`, { signal })).document;
  }

  #post(path, said, names = {}, isRepeatable = true) {
    return this.#send("POST", path, said, names, isRepeatable);
  }

  /** What is sent again and again has been done once, if it is of such a kind, or has a key by which the server knows it. */
  async #send(method, path, { signal, ...said } = {}, names = {}, isRepeatable = true) {
    const document = translated(said, names, path);
    const body = Object.keys(document).length ? this.#http.body(document) : undefined;
    const once = method === "POST" ? randomUUID() : undefined;
    const options = { body, once, isRepeatable, expected: [200, 201, 204], signal };
    return (await this.#http.ask(method, `${API}/${path}`, options)).document;
  }

  async *#every(ask, name, options) {
    let cursor;
    do {
      const page = await ask({ limit: 200, ...options, cursor });
      yield* page[name];
      cursor = page.next;
    } while (cursor);
  }
}

/** Options by the names that the server has for them; what is undefined or null is not said. */
export function translated(said, names, where) {
  checkNames(said, Object.keys(names), where);
  const given = Object.entries(said).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(given.map(([name, value]) => [names[name], value]));
}

/** A name in a path: not one that the path would take for something else. */
export function part(name) {
  return encodeURIComponent(checkText(name, "name"));
}

export function checkText(value, what) {
  if (typeof value !== "string" || !value.isWellFormed() || /^\.{0,2}$/.test(value)) {
    throw new ConfigurationError(`${what}: ${shown(value)}: give text`);
  }
  return value;
}

function named(...names) {
  return Object.fromEntries(names.map((name) => [name, name]));
}

function query(conditions) {
  const given = Object.entries(conditions).filter(([, value]) => value !== undefined);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}
