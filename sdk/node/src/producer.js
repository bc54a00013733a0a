/** Calls of tasks straight into the broker, by docs/protocol.md: the same messages and scripts as Python's. */

import { randomBytes } from "node:crypto";

import { addressOf } from "./address.js";
import { Broker } from "./broker.js";
import { grouped } from "./bulk.js";
import { seconds } from "./durations.js";
import { AlreadyEnqueued, ConfigurationError, NotSerializable, checkNames, shown } from "./errors.js";
import { Handle } from "./handle.js";
import { PRIORITIES, checkId, checkPlace, newId, pack, packRaw } from "./message.js";
import { checkOptions } from "./options.js";

/** Messages in one script call, and about so many bytes: none keeps the broker or the network long. */
const BULK_BYTES = 1 << 20;
/** The script recognizes a call that is sent again for so long. */
const MAX_TIMEOUT_S = 60;
const FIRST = "first ";

/** One application's tasks, by their types; it knows no declarations: what is not said is as the worker declares it. */
export class Producer {
  #broker;

  constructor(app, options = {}) {
    checkNames(options, ["broker", "queue", "timeout", "maxPayload", "tls"], "new Producer()");
    this.app = checkPlace(app, "application");
    this.queue = checkPlace(options.queue ?? "default", "queue");
    this.maxPayload = options.maxPayload ?? 1 << 20;
    if (!Number.isSafeInteger(this.maxPayload) || this.maxPayload < 1) {
      throw new ConfigurationError(`maxPayload: ${shown(options.maxPayload)}: give a number of bytes`);
    }
    const timeout = seconds(options.timeout ?? 5, "timeout");
    if (!(timeout > 0 && timeout <= MAX_TIMEOUT_S)) {
      throw new ConfigurationError(
        `timeout: ${shown(options.timeout)}: give a time above 0, and at most ${MAX_TIMEOUT_S} s`,
      );
    }
    const settings = { timeoutMs: timeout * 1000, tlsOptions: options.tls };
    this.#broker = new Broker(this.app, addressOf(options.broker), settings);
  }

  /** Enqueues one call. When it returns, the broker has the task. */
  async enqueue(type, args = [], kwargs = {}, options = {}) {
    const call = checkOptions(type, options, this.queue);
    const message = pack(call.head, ...checkArguments(args, kwargs), this.maxPayload);
    const id = call.id ?? newId(call.queue);
    const told = call.id === undefined ? call.script : { ...call.script, token: randomBytes(8).toString("hex") };
    const front = this.#front(call, told);
    const [word] = await this.#send(call, [...front, id, message], options.signal);
    const handle = this.#handle(call, id, word);
    if (call.raises && !handle.created) {
      throw new AlreadyEnqueued(`${type}: task ${handle.id} is there already for this call`, handle.id, [handle]);
    }
    return handle;
  }

  /**
   * Enqueues many calls of one type: each an array of positional, or an object of keyword arguments. All are packed
   * before the first one is sent; they travel 1,000 at a time, or about 1 MiB.
   */
  async enqueueMany(type, calls, options = {}) {
    if (options.id !== undefined) throw new ConfigurationError("id names one call, enqueueMany makes many");
    const call = checkOptions(type, options, this.queue);
    const messages = Array.from(calls, (one, position) => {
      const [args, kwargs] = Array.isArray(one) ? checkArguments(one, {}) : checkArguments([], one);
      return at(`calls[${position}]`, () => pack(call.head, args, kwargs, this.maxPayload));
    });
    const handles = [];
    for (const group of grouped(messages, BULK_BYTES)) {
      const ids = group.map(() => newId(call.queue));
      const items = ids.flatMap((id, i) => [id, group[i]]);
      const words = await this.#send(call, [...this.#front(call, call.script), packRaw(items)], options.signal);
      handles.push(...ids.map((id, i) => this.#handle(call, id, words.length === 1 ? words[0] : words[i])));
    }
    const first = call.raises && handles.find((handle) => !handle.created);
    if (first) throw new AlreadyEnqueued(`${type}: task ${first.id} is there already for this call`, first.id, handles);
    return handles;
  }

  /** The handle of the task with this id. `queue`: where it is, if the id was given and the queue is known. */
  handle(id, options = {}) {
    const { queue } = checkNames(options, ["queue"], "handle()");
    return new Handle(this.#broker, checkId(id), queue);
  }

  /** The return value of the task with this id; waits at most `wait` for it. */
  async result(id, options = {}) {
    const { queue, ...more } = checkNames(options, ["wait", "signal", "queue"], "result()");
    return this.handle(id, { queue }).get(more);
  }

  /** Ends all connections. A program that has nothing else to do ends without it. */
  close() {
    return this.#broker.close();
  }

  #front(call, told) {
    const options = Object.keys(told).length ? packRaw(told) : "";
    return [call.head.type, PRIORITIES[call.head.priority], options];
  }

  async #send(call, args, signal) {
    const words = await this.#broker.run("enqueue", call.queue, args, { signal, isOpening: true });
    return words.map(String);
  }

  #handle(call, id, word) {
    if (word.startsWith(FIRST)) {
      const first = word.slice(FIRST.length);
      return new Handle(this.#broker, first, call.queue, first === id);
    }
    // With an id of our own making "duplicate" means that this very call was sent twice.
    return new Handle(this.#broker, id, call.queue, call.id === undefined || word === "created");
  }
}

/** Positional and keyword arguments, if they can be these. */
export function checkArguments(args, kwargs) {
  if (!Array.isArray(args)) throw new NotSerializable(`args: ${shown(args)}: give an array of positional arguments`);
  const prototype = typeof kwargs === "object" && kwargs !== null ? Object.getPrototypeOf(kwargs) : undefined;
  if (prototype !== null && prototype !== Object.prototype) {
    throw new NotSerializable(`kwargs: ${shown(kwargs)}: give a plain object of keyword arguments`);
  }
  return [args, kwargs];
}

function at(place, make) {
  try {
    return make();
  } catch (error) {
    error.message = `${place}: ${error.message}`;
    throw error;
  }
}
