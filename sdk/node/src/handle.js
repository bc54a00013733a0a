/**
 * The handle of a task in the broker: its state, its result, cancelling it. It waits by blocking, not by asking again.
 */

import { randomBytes } from "node:crypto";

import { giveUpAt } from "./durations.js";
import {
  ConfigurationError,
  DecodeError,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskError,
  TaskExpired,
  TaskFailed,
  UnknownTask,
  checkNames,
  shown,
} from "./errors.js";
import { keepsNothing, queueOf } from "./message.js";
import { decode } from "./values.js";

const PENDING = Symbol("pending");
const MOST_MOVES = 20;
const MOVED = Buffer.from("\x92\xa5moved", "latin1");

/** The queue to which a task went that has this element; undefined: it did not. */
function movedTo(element) {
  if (!element || !element.subarray(0, MOVED.length).equals(MOVED)) return undefined;
  return readEnding(element).details.by;
}

export class Handle {
  #broker;

  constructor(broker, id, queue, created = true) {
    this.#broker = broker;
    this.id = id;
    this.queue = queue ?? queueOf(id);
    this.created = created;
  }

  /** queued, scheduled, running, completed, dead, cancelled, expired or unknown. */
  async status(options = {}) {
    const { signal } = checkNames(options, ["signal"], "status()");
    const look = await this.#look("", signal);
    if (look.state !== "ended") return look.state;
    try {
      const { status } = readEnding(look.result);
      return ["completed", "dead", "cancelled", "expired"].includes(status) ? status : "unknown";
    } catch (error) {
      if (error instanceof DecodeError) return "unknown";
      throw error;
    }
  }

  /** The handler's return value. Waits at most `wait` (seconds or text; nothing said: for ever). */
  async get(options = {}) {
    const { wait, signal } = checkNames(options, ["wait", "signal"], "get()");
    const giveUp = giveUpAt(wait);
    for (;;) {
      const left = giveUp - performance.now();
      const value = this.#ended(await this.#look(left > 0 ? "wait" : "", signal));
      if (value !== PENDING) return value;
      const still = giveUp - performance.now();
      if (still <= 0) throw new ResultTimeout(`task ${this.id} has not ended within ${shown(wait)} s`, this.id);
      const element = await this.#broker.waitResult(this.queue, this.id, still, signal);
      if (element !== null && !movedTo(element)) return this.#unwrap(element);
    }
  }

  /** Ends the task if it still waits; with `running` or `kill` also if it runs. False: it has ended, or is unknown. */
  async cancel(options = {}) {
    const names = ["running", "kill", "by", "signal"];
    const { running = false, kill = false, by = "node", signal } = checkNames(options, names, "cancel()");
    if (typeof by !== "string" || !by.trim() || Buffer.byteLength(by) > 200 || /[\x00-\x1f\x7f-\x9f]/.test(by)) {
      throw new ConfigurationError(`by: ${shown(by)}: say who asks in 1 to 200 bytes of one line of text`);
    }
    if (!this.queue) await this.#look("", signal);
    if (!this.queue) return false;
    const mode = kill ? "kill" : running ? "running" : "";
    const args = [this.id, by, mode, randomBytes(8).toString("hex")];
    let word = String(await this.#broker.run("cancel", this.queue, args, { signal }));
    const before = this.queue;
    if (word === "unknown" || word === "ended") await this.#look("", signal);
    if (this.queue !== before) word = String(await this.#broker.run("cancel", this.queue, args, { signal }));
    return word === "cancelled" || word === "ordered";
  }

  toJSON() {
    return { id: this.id, queue: this.queue, created: this.created };
  }

  async #look(waits, signal) {
    if (this.queue) {
      const look = await this.#lookIn(this.queue, waits, signal);
      if (look.state !== "unknown" && !movedTo(look.result)) return look;
    }
    const queues = await this.#broker.knownQueues(signal);
    let looks = await Promise.all(queues.map((queue) => this.#lookIn(queue, waits, signal)));
    for (let moves = 0; moves < MOST_MOVES; moves += 1) {
      looks = looks.filter((look) => look.state !== "unknown");
      const found = looks.find((look) => !movedTo(look.result));
      if (found) this.queue = found.queue;
      if (found || looks.length === 0) return found ?? { state: "unknown" };
      looks = [await this.#lookIn(movedTo(looks[0].result), waits, signal)];
    }
    return { state: "unknown" };
  }

  async #lookIn(queue, waits, signal) {
    const [state, result, message] = await this.#broker.run("look", queue, [this.id, waits], { signal });
    return { queue, state: String(state), result, message };
  }

  #ended(look) {
    if (look.state === "unknown") {
      const why = "it never was, or the time for which its result is kept is over";
      throw new UnknownTask(`no task ${this.id} is known: ${why}`, this.id);
    }
    if (look.state === "dead") {
      throw new TaskFailed(this.id, { type: "Dead", message: "the task is dead; its result's time is over" });
    }
    if (look.result) return this.#unwrap(look.result);
    if (keepsNothing(look.message)) {
      throw new ResultNotKept(`task ${this.id} keeps no result (resultTtl: 0): ask for its status()`, this.id);
    }
    return PENDING;
  }

  #unwrap(element) {
    try {
      return valueOf(this.id, readEnding(element));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const text = `what the broker keeps of the end of task ${this.id} cannot be read: ${error.message}`;
      throw Object.assign(new TaskError(text, this.id), { cause: error });
    }
  }
}

/** How a task ended, from its element on a shelf (docs/protocol.md, "Results"). Throws DecodeError. */
export function readEnding(element) {
  const found = decode(element);
  if (!Array.isArray(found) || typeof found[0] !== "string") throw new DecodeError("it is no ending of a task");
  const [status, first] = found;
  if (status === "completed") return { status, value: first, isKept: found.length > 1 };
  const details = typeof first === "object" && first !== null && !Array.isArray(first) ? first : {};
  return { status, details };
}

export function valueOf(id, { status, value, isKept, details }) {
  if (status === "completed") {
    if (!isKept) throw new ResultNotKept(`task ${id} is completed, but keeps no result (resultTtl: 0)`, id);
    return value;
  }
  if (status === "cancelled") {
    const by = String(details.by ?? "");
    const how = by.startsWith("replaced by ") ? "was" : "was cancelled by";
    throw Object.assign(new TaskCancelled(`task ${id} ${how} ${by || "somebody"}`, id), { by });
  }
  if (status === "expired") throw new TaskExpired(`task ${id} could not start before it expired`, id);
  throw new TaskFailed(id, {
    type: String(details.type ?? "Error"),
    message: String(details.message ?? ""),
    traceback: String(details.traceback ?? ""),
  });
}
