/** docs/protocol/vectors.json: what Python makes of values, and how JSON says them. */

import { readFileSync } from "node:fs";

import { python } from "../../src/index.js";

export const vectors = JSON.parse(
  readFileSync(new URL("../../../../docs/protocol/vectors.json", import.meta.url), "utf8"),
);

/** The bytes that such words mean: `91*3 c0`. */
export function bytes(words) {
  const parts = words.split(" ").map((word) => {
    const [digits, times = "1"] = word.split("*");
    return Buffer.from(digits.repeat(Number(times)), "hex");
  });
  return Buffer.concat(parts);
}

/** A value as this package takes it. */
export function sent(value) {
  return untagged(value, sent, {
    float: (text) => python.float(numberOf(text)),
    tuple: (items) => python.tuple(items.map(sent)),
    set: (items) => new Set(items.map(sent)),
    frozenset: (items) => python.frozenset(items.map(sent)),
    datetime: ([text, fold, zone]) =>
      isMoment(text) && !fold && !zone ? new Date(text) : python.datetime(text, { fold, zone }),
    date: python.date,
    time: ([text, fold]) => python.time(text, { fold }),
    timedelta: ([days, seconds, microseconds]) => python.timedelta({ days, seconds, microseconds }),
    decimal: python.decimal,
    uuid: python.uuid,
    path: python.path,
  });
}

/** The same as it arrives. */
export function received(value) {
  return untagged(value, received, {
    float: numberOf,
    tuple: (items) => items.map(received),
    set: (items) => new Set(items.map(received)),
    frozenset: (items) => new Set(items.map(received)),
    datetime: ([text]) => (/[+-]\d\d:\d\d$/.test(text) ? new Date(text) : text),
    date: (text) => text,
    time: ([text]) => text,
    timedelta: ([days, seconds, microseconds]) => days * 86400 + seconds + microseconds / 1e6,
    decimal: (text) => text,
    uuid: (text) => text,
    path: (text) => text,
  });
}

/** What a Date can say to the byte: a moment in UTC, without microseconds of its own. */
function isMoment(text) {
  return /T[\d:]+(\.\d{3}000)?\+00:00$/.test(text);
}

function numberOf(text) {
  return { nan: NaN, inf: Infinity, "-inf": -Infinity }[text] ?? Number(text);
}

function bigOf(text) {
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}

function untagged(value, inside, kinds) {
  if (Array.isArray(value)) return value.map(inside);
  if (typeof value !== "object" || value === null) return value;
  const [[name, content] = [], ...others] = Object.entries(value);
  if (others.length || !name?.startsWith("$")) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inside(item)]));
  }
  const kind = {
    int: bigOf,
    bytes: (words) => Uint8Array.from(bytes(words)),
    text: ([letter, times]) => letter.repeat(times),
    list: ([item, times]) => Array(times).fill(inside(item)),
    nested: (depth) => Array.from({ length: depth - 1 }).reduce((deep) => [deep], []),
    map: (entries) => mapOf(entries.map(([key, item]) => [inside(key), inside(item)])),
    ...kinds,
  }[name.slice(1)];
  return kind(content);
}

function mapOf(entries) {
  if (!entries.every(([key]) => typeof key === "string")) return new Map(entries);
  return Object.fromEntries(entries); // which makes an own property of __proto__, too
}
