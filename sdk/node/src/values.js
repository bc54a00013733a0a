/**
 * What travels, as docs/protocol.md ("Values") says: MessagePack, with extension types for what Python has beyond it.
 *
 * Sent: null and undefined, booleans, numbers (whole ones as int, others as float), BigInts, strings, Uint8Arrays,
 * arrays, plain objects, Maps, Sets (as set), Dates (as datetime in UTC), and what `python` makes. Nothing else: a
 * class instance is refused with its path.
 *
 * Received: the same, in the nearest thing that JavaScript has (see `REVIVERS`).
 */

import { DecodeError, NotSerializable } from "./errors.js";
import { Ext, Packed, Writer, natural, read } from "./msgpack.js";

const [BIG_INT, TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID, PATH, ENUM, DATACLASS, MODEL] =
  Array.from({ length: 14 }, (_, code) => code);
const TIMESTAMP = -1;

/** A longer integer is refused by Python, too. */
export const MAX_INT_BYTES = 8192;
/** Extensions in each other. */
export const MAX_NESTED = 32;

/** A value of a Python type that JavaScript lacks; made by `python`. */
class PythonValue {
  constructor(code, content) {
    this.code = code;
    this.content = content;
  }
}

class PythonFloat {
  constructor(value) {
    this.value = value;
  }
}

const ISO_DATE = /^\d{4}-\d\d-\d\d$/;
const ISO_TIME = /^\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?([+-]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$/;
const ISO =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?:([+-])(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?)?$/;
const NUMBER = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|s?nan\d*)$/i;
const HEX = /^[0-9a-f]{32}$/i;

/** Values of Python types that JavaScript does not have, as arguments: `python.decimal("9.90")`. */
export const python = Object.freeze({
  /** A float, also where the number is whole: `python.float(1)` is 1.0. */
  float: (value) => new PythonFloat(checked(value, typeof value === "number", "float", "a number")),
  tuple: (items) => new PythonValue(TUPLE, [...items]),
  frozenset: (items) => new PythonValue(FROZENSET, [...items]),
  /** ISO 8601 text, without an offset (naive) or with one; `zone`: an IANA name. */
  datetime: (text, { fold = 0, zone = null } = {}) =>
    new PythonValue(DATETIME, [checked(text, ISO.test(text), "datetime", "ISO 8601 text"), fold, zone]),
  date: (text) => new PythonValue(DATE, checked(text, ISO_DATE.test(text), "date", "text such as 2026-11-30")),
  time: (text, { fold = 0 } = {}) =>
    new PythonValue(TIME, [checked(text, ISO_TIME.test(text), "time", "text such as 07:30:00"), fold]),
  timedelta: ({ days = 0, seconds = 0, microseconds = 0 }) => {
    const parts = [days, seconds, microseconds];
    return new PythonValue(TIMEDELTA, checked(parts, parts.every(Number.isSafeInteger), "timedelta", "whole numbers"));
  },
  decimal: (text) => new PythonValue(DECIMAL, checked(String(text), NUMBER.test(text), "decimal", "a number as text")),
  uuid: (text) => {
    const digits = String(text).replaceAll("-", "");
    return new PythonValue(UUID, Buffer.from(checked(digits, HEX.test(digits), "uuid", "32 hex digits"), "hex"));
  },
  path: (text) => new PythonValue(PATH, checked(text, typeof text === "string", "path", "text")),
});

function checked(value, isRight, what, wanted) {
  if (!isRight) throw new NotSerializable(`python.${what}(${String(value).slice(0, 80)}): give ${wanted}`);
  return value;
}

/** A value as bytes. `name`: what its path in an error begins with. `most`: how many bytes it may have. */
export function encode(value, { name = "value", most = Infinity } = {}) {
  return encodeInside(value, 0, name, most);
}

function encodeInside(value, level, name, most = Infinity) {
  if (level > MAX_NESTED) {
    throw new NotSerializable(`${name}: nested too deeply: at most ${MAX_NESTED} sets, dates and so on in each other`);
  }
  const writer = new Writer((item, at) => convert(item, level, at), { most });
  writer.path.push(name);
  writer.write(value);
  return writer.bytes();
}

function convert(value, level, writer) {
  if (typeof value === "bigint") return new Ext(BIG_INT, bytesOf(value, writer));
  if (value instanceof PythonFloat) return packedFloat(value.value);
  if (value instanceof Date) return packed(DATETIME, [isoOf(value, writer), 0, null], level, writer);
  if (value instanceof Set) return packed(SET, [...value], level, writer);
  if (value instanceof PythonValue) {
    return value.code === UUID ? new Ext(UUID, value.content) : packed(value.code, value.content, level, writer);
  }
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  const what = value?.constructor?.name || "object";
  throw new NotSerializable(
    `${writer.place()}: a ${what} is not serializable: send numbers, text, bytes, arrays, plain objects, Maps, Sets, Dates`,
  );
}

function packedFloat(value) {
  const data = Buffer.alloc(9, 0xcb);
  data.writeDoubleBE(value, 1);
  return new Packed(data);
}

function packed(code, content, level, writer) {
  return new Ext(code, encodeInside(content, level + 1, writer.place()));
}

function isoOf(date, writer) {
  const text = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  if (text.length !== 24 || text.startsWith("0000")) {
    throw new NotSerializable(`${writer.place()}: this Date is invalid, or outside of the years 1 to 9999`);
  }
  const [moment, fraction] = text.slice(0, 23).split(".");
  return `${moment}${fraction === "000" ? "" : `.${fraction}000`}+00:00`;
}

function bytesOf(value, writer) {
  const bits = (value < 0n ? -value : value).toString(2).length;
  const size = Math.floor(bits / 8) + 1;
  if (size > MAX_INT_BYTES) {
    throw new NotSerializable(
      `${writer.place()}: the integer is too large, at most ${MAX_INT_BYTES} bytes; send it as text`,
    );
  }
  const hex = BigInt.asUintN(size * 8, value)
    .toString(16)
    .padStart(size * 2, "0");
  return Buffer.from(hex, "hex");
}

/** The value in these bytes. Throws DecodeError for anything that is none. */
export function decode(data) {
  return decodeInside(data, 0);
}

function decodeInside(data, level) {
  return read(data, (code, content) => revive(code, content, level));
}

function revive(code, data, level) {
  if (code === BIG_INT) return integerOf(data);
  if (code === UUID) return uuidOf(data);
  if (code === TIMESTAMP) return timestampOf(data);
  const reviver = REVIVERS[code];
  if (code < 0 || !reviver) throw new DecodeError(`not decodable: extension ${code} is unknown`);
  if (level === MAX_NESTED) throw new DecodeError("nested too deeply");
  return reviver(decodeInside(data, level + 1));
}

/**
 * Extension → what arrives. Classes arrive as their content: an enum as its value, a dataclass or model as an object.
 */
const REVIVERS = {
  [TUPLE]: list,
  [SET]: (content) => new Set(list(content)),
  [FROZENSET]: (content) => new Set(list(content)),
  [DATETIME]: (content) => datetimeOf(list(content, 3)),
  [DATE]: (content) => text(content, ISO_DATE),
  [TIME]: (content) => text(list(content, 2)[0], ISO_TIME),
  [TIMEDELTA]: (content) => secondsOf(list(content, 3)),
  [DECIMAL]: (content) => text(content, NUMBER),
  [PATH]: (content) => text(content, /^/),
  [ENUM]: ofClass,
  [DATACLASS]: ofClass,
  [MODEL]: ofClass,
};

function list(content, size) {
  if (!Array.isArray(content) || (size !== undefined && content.length !== size)) {
    throw new DecodeError("not decodable: the content of an extension is not what it has to be");
  }
  return content;
}

function text(content, form) {
  if (typeof content !== "string" || !form.test(content)) {
    throw new DecodeError("not decodable: the text of an extension is not what it has to be");
  }
  return content;
}

function ofClass(content) {
  const [name, value] = list(content, 2);
  text(name, /^/);
  return value;
}

function integerOf(data) {
  if (data.length > MAX_INT_BYTES) throw new DecodeError("not decodable: an integer is too long");
  if (data.length === 0) return 0;
  return natural(BigInt.asIntN(data.length * 8, BigInt(`0x${data.toString("hex")}`)));
}

function uuidOf(data) {
  if (data.length !== 16) throw new DecodeError("not decodable: a UUID has 16 bytes");
  return data.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function timestampOf(data) {
  let ms;
  if (data.length === 4) ms = data.readUInt32BE(0) * 1000;
  else if (data.length === 8) {
    const both = data.readBigUInt64BE(0);
    ms = Number(both & 0x3ffffffffn) * 1000 + Math.floor(Number(both >> 34n) / 1e6);
  } else if (data.length === 12) {
    ms = Number(data.readBigInt64BE(4)) * 1000 + Math.floor(data.readUInt32BE(0) / 1e6);
  }
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) throw new DecodeError("not decodable: a timestamp is out of range");
  return date;
}

/** One with an offset is a moment: a Date (which has no microseconds). One without is none: it stays text. */
function datetimeOf([said]) {
  const [, year, month, day, hour, minute, second = "0", fraction = "", sign, hours, minutes, more = "0"] = ISO.exec(
    text(said, ISO),
  );
  if (sign === undefined) return said;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second), Number(fraction.padEnd(3, "0").slice(0, 3)));
  const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(more)) * 1000;
  return new Date(date.getTime() - (sign === "-" ? -offset : offset));
}

function secondsOf([days, seconds, microseconds]) {
  const found = Number(days) * 86400 + Number(seconds) + Number(microseconds) / 1e6;
  if (![days, seconds, microseconds].every(Number.isSafeInteger)) {
    throw new DecodeError("not decodable: a timedelta has whole numbers");
  }
  return found;
}
