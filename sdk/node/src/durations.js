/** Durations as everywhere in distq: seconds, or text such as "500ms", "10s", "5m", "2h", "7d". Pure. */

import { ConfigurationError, shown } from "./errors.js";

const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const TEXT = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$/;

/** Seconds; `what` names the setting in the error. */
export function seconds(value, what) {
  let number;
  if (typeof value === "number" && Math.abs(value) < 1e15) number = value;
  const match = typeof value === "string" ? TEXT.exec(value) : null;
  if (match) number = Number(match[1]) * UNITS[match[2] ?? "s"];
  if (number === undefined || !(number >= 0 && number < Infinity)) {
    throw new ConfigurationError(
      `${what}: ${shown(value)} is no duration: give seconds, or text such as "500ms", "10s", "5m", "2h", "7d"`,
    );
  }
  return number;
}

/** The same in milliseconds, above 0. */
export function positiveMs(value, what) {
  const ms = Math.round(seconds(value, what) * 1000);
  if (ms <= 0) throw new ConfigurationError(`${what}: ${shown(value)}: give a time above 0`);
  return ms;
}

/** A Date as milliseconds since 1970. */
export function momentMs(value, what) {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) {
    throw new ConfigurationError(`${what}: ${shown(value)}: give a valid Date`);
  }
  return value.getTime();
}

/** `wait` of get() and result(): when to give up, by performance.now(). Nothing said: never. */
export function giveUpAt(wait) {
  return wait === undefined || wait === null ? Infinity : performance.now() + seconds(wait, "wait") * 1000;
}
