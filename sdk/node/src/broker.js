/**
 * The broker for one application: which connection, and what is sent again.
 *
 * A call whose reply is lost is sent again, the same bytes over a new connection, until its time is over: the scripts
 * recognize what they have already done (docs/protocol.md, "Enqueue").
 */

import { Connection } from "./connection.js";
import { BrokerFull, BrokerUnavailable, LayoutMismatch } from "./errors.js";
import { ServerError, command } from "./resp.js";
import * as scripts from "./scripts.js";
import { sleep } from "./sleep.js";

const LAYOUT = "2";
const KNOWN_QUEUES = "distq:queues";
/** Longest time for one attempt of a call, which is tried again over another connection. */
const ATTEMPT_MS = 5000;
/** Longest single block of a waiting get(); in between it looks again. */
const WAIT_SLICE_MS = 20_000;
/** How much later than it was told the server may answer that nothing came. */
const LATE_MS = 1000;
/** Pause of a waiting get() that cannot wait at the broker. */
const RECONNECT_MS = 100;
const MOST_IDLE = 20;

const PASSING = new Set([
  "LOADING",
  "READONLY",
  "BUSY",
  "MASTERDOWN",
  "NOREPLICAS",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "UNBLOCKED",
  "MISCONF",
]);

export class Broker {
  constructor(app, address, { timeoutMs, tlsOptions }) {
    Object.assign(this, { app, address, timeoutMs, tlsOptions });
    this.shared = undefined;
    this.idle = [];
    this.blocked = new Set();
    this.isClosed = false;
  }

  /** What the keys of this queue begin with. */
  prefix(queue) {
    return `distq:{${this.app}/${queue}}:`;
  }

  /** Calls a script of a queue; `isOpening`: makes the queue known before, and checks the layout. */
  run(name, queue, args, { signal, isOpening = false } = {}) {
    const script = scripts[name];
    const data = command("EVALSHA", script.sha, 1, this.prefix(queue), ...args);
    return this.insist(async (connection, limitMs) => {
      if (isOpening) await this.open(connection, queue, limitMs);
      try {
        return await connection.ask(data, limitMs);
      } catch (error) {
        if (error.code !== "NOSCRIPT") throw error;
      }
      await connection.ask(command("SCRIPT", "LOAD", script.text), limitMs);
      return connection.ask(data, limitMs);
    }, signal);
  }

  /** The queues of this application that the broker knows. */
  async knownQueues(signal) {
    const question = command("SMEMBERS", KNOWN_QUEUES);
    const members = await this.insist((connection, limitMs) => connection.ask(question, limitMs), signal);
    const names = members.map(String).filter((member) => member.startsWith(`${this.app}/`));
    return names.map((member) => member.slice(this.app.length + 1)).sort();
  }

  async open(connection, queue, limitMs) {
    if (connection.opened.has(queue)) return;
    const [, layout] = await Promise.all([
      connection.ask(command("SADD", KNOWN_QUEUES, `${this.app}/${queue}`), limitMs),
      connection.ask(command("HGET", `${this.prefix(queue)}meta`, "layout"), limitMs),
    ]);
    if (layout !== null && layout.toString() !== LAYOUT) {
      throw new LayoutMismatch(
        `the keys in this broker have layout ${layout}, this release knows layout ${LAYOUT}: use the release that wrote them`,
      );
    }
    connection.opened.add(queue);
  }

  /** Until when the conversation `talk` is had again; then it throws what the last one threw. */
  async insist(talk, signal) {
    const until = performance.now() + this.timeoutMs;
    for (let pause = 10; ; pause = Math.min(2 * pause, 500)) {
      signal?.throwIfAborted();
      if (this.isClosed) throw new BrokerUnavailable("this producer is closed");
      try {
        const limitMs = Math.min(ATTEMPT_MS, Math.max(1, until - performance.now()));
        return await this.within(limitMs, signal, async () => talk(await this.connection(limitMs), limitMs));
      } catch (error) {
        const isPassing = error instanceof ServerError && PASSING.has(error.code);
        if (error instanceof ServerError && !isPassing) throw this.refusal(error);
        if (!isPassing && (!(error instanceof BrokerUnavailable) || error.isFinal)) throw error;
        if (performance.now() + pause > until) throw isPassing ? this.refusal(error) : error;
      }
      await sleep(pause, signal);
    }
  }

  /** The caller waits no longer than so, or until it aborts; a reply that comes later is read, and thrown away. */
  within(limitMs, signal, talk) {
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      const late = () => reject(new BrokerUnavailable(`no broker at ${this.address.shown}: no answer in time`));
      const timer = setTimeout(late, limitMs + 20); // its connection has its own limit: that comes first
      signal?.addEventListener("abort", abort, { once: true });
      talk()
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", abort);
        });
    });
  }

  refusal(error) {
    if (error.code === "OOM") {
      return new BrokerFull(`the broker at ${this.address.shown} is full: ${error.message}`, { cause: error });
    }
    return new BrokerUnavailable(`the broker at ${this.address.shown} refused: ${error.message}`, { cause: error });
  }

  /** The one on which all calls go that do not block. */
  connection(limitMs) {
    if (!this.shared || this.shared.isClosed) {
      const opening = this.another(limitMs);
      this.shared = opening;
      opening.then(
        (connection) => (this.shared === opening ? (this.shared = connection) : undefined),
        () => (this.shared === opening ? (this.shared = undefined) : undefined),
      );
    }
    return this.shared;
  }

  another(limitMs) {
    return Connection.open(this.address, { limitMs, tlsOptions: this.tlsOptions });
  }

  /**
   * Blocks until a task has a result, at most `leftMs` and never longer than a slice; null: it has none yet. Call look
   * with "wait" first. Each waiter has a connection of its own meanwhile.
   */
  async waitResult(queue, id, leftMs, signal) {
    const sliceMs = Math.max(1, Math.min(leftMs, WAIT_SLICE_MS));
    const key = `${this.prefix(queue)}answer:${id}`;
    let connection;
    const end = () => connection?.close();
    signal?.addEventListener("abort", end, { once: true });
    try {
      this.idle = this.idle.filter((one) => !one.isClosed);
      connection = this.idle.pop() ?? (await this.another(Math.min(ATTEMPT_MS, this.timeoutMs)));
      signal?.throwIfAborted();
      this.blocked.add(connection);
      const data = command("BLMOVE", key, key, "LEFT", "LEFT", (sliceMs / 1000).toFixed(3));
      const reply = await connection.ask(data, sliceMs + LATE_MS);
      if (this.idle.length < MOST_IDLE && !connection.isClosed) this.idle.push(connection);
      else connection.close();
      return reply;
    } catch (error) {
      connection?.close();
      signal?.throwIfAborted();
      if (error instanceof ServerError && !PASSING.has(error.code) && error.code !== "OOM") throw this.refusal(error);
      if (!(error instanceof ServerError || error instanceof BrokerUnavailable)) throw error;
      await sleep(Math.min(RECONNECT_MS, leftMs), signal); // whoever waits looks again, which bears a broker that is away
      return null;
    } finally {
      this.blocked.delete(connection);
      signal?.removeEventListener("abort", end);
    }
  }

  /** Ends all connections; who waits for a reply is told. */
  async close() {
    this.isClosed = true;
    const open = [...this.idle.splice(0), ...this.blocked];
    const shared = await Promise.resolve(this.shared).catch(() => undefined);
    this.shared = undefined;
    for (const connection of [shared, ...open]) connection?.close();
  }
}
