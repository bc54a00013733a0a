/**
 * One connection to the broker, on which calls are answered in order. It knows no keys and repeats nothing.
 *
 * While nothing is asked it does not keep the process alive. After anything but an error reply it is over: replies and
 * requests could no longer be told apart.
 */

import net from "node:net";
import tls from "node:tls";

import { BrokerUnavailable } from "./errors.js";
import { ProtocolError, Replies, ServerError, command } from "./resp.js";

export class Connection {
  /** Connects and says who we are; throws BrokerUnavailable, within `limitMs`. */
  static async open(address, { limitMs, tlsOptions = {}, name = "distq-node" }) {
    const connection = new Connection(address, tlsOptions);
    const until = performance.now() + limitMs;
    for (const words of greeting(address, name)) {
      try {
        await connection.ask(command(...words), Math.max(1, until - performance.now()));
      } catch (error) {
        connection.close(error);
        if (!(error instanceof ServerError)) throw error;
        throw refused(address, error);
      }
    }
    return connection;
  }

  constructor(address, tlsOptions) {
    this.address = address;
    this.waiting = [];
    this.replies = new Replies();
    this.isClosed = false;
    this.opened = new Set();
    const place = address.path ? { path: address.path } : { host: address.host, port: address.port };
    const servername = net.isIP(address.host ?? "") ? undefined : address.host;
    this.socket = address.tls
      ? tls.connect({ ...place, servername, ...address.tls, ...tlsOptions })
      : net.connect(place);
    this.socket.setNoDelay(true);
    this.socket.setKeepAlive(true, 30_000);
    this.socket.on("data", (data) => this.take(data));
    this.socket.on("error", (error) => this.close(error));
    this.socket.on("close", () => this.close(new Error("closed by the broker")));
  }

  /** Sends a command. Its reply; throws ServerError for an error reply, BrokerUnavailable if there is none in time. */
  ask(data, limitMs) {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(this.reason ?? new BrokerUnavailable(`no broker at ${this.address.shown}: closed`));
        return;
      }
      const timer = setTimeout(() => this.close(new Error("no answer in time")), Math.min(limitMs, 2 ** 31 - 1));
      if (!this.waiting.length) this.socket.ref();
      this.waiting.push({ resolve, reject, timer });
      this.socket.write(data);
    });
  }

  take(data) {
    this.replies.feed(data);
    try {
      for (const reply of this.replies) {
        const first = this.waiting.shift();
        if (!first) throw new ProtocolError("a reply that nobody has asked for");
        clearTimeout(first.timer);
        if (!this.waiting.length) this.socket.unref();
        if (reply instanceof ServerError) first.reject(reply);
        else first.resolve(reply);
      }
    } catch (error) {
      this.close(error);
    }
  }

  /** Ends it; everybody who waits for a reply is told. */
  close(error = new Error("closed")) {
    if (this.isClosed) return;
    this.isClosed = true;
    this.reason = error instanceof BrokerUnavailable ? error : unavailable(this.address, error);
    this.socket.destroy();
    for (const { reject, timer } of this.waiting.splice(0)) {
      clearTimeout(timer);
      reject(this.reason);
    }
  }
}

/** Why there is no connection, for people. What trying again does not help against is `isFinal`. */
function unavailable(address, error) {
  const told = error.errors?.[0]?.message ?? error.message; // of an AggregateError: the first address tried
  const isFinal = /certificate|altname/i.test(told);
  const hint = isFinal ? " (ssl_ca_certs= names the authority to trust)" : "";
  const why = new BrokerUnavailable(`no broker at ${address.shown}: ${told}${hint}`, { cause: error });
  return Object.assign(why, { isFinal });
}

/** The server has answered, and does not want us. */
function refused(address, error) {
  const isFinal = /NOAUTH|WRONGPASS|NOPERM|invalid username-password/.test(error.message);
  const hint = isFinal ? " (the password of this user has to be in the address, or in $DISTQ_BROKER_PASSWORD)" : "";
  const told = new BrokerUnavailable(`no broker at ${address.shown}: ${error.message}${hint}`, { cause: error });
  return Object.assign(told, { isFinal });
}

function greeting({ username, password, database }, name) {
  const words = [];
  if (password) words.push(username ? ["AUTH", username, password] : ["AUTH", password]);
  words.push(["CLIENT", "SETNAME", name]);
  if (database) words.push(["SELECT", database]);
  return words;
}
