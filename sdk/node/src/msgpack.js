/**
 * MessagePack, as much of it as distq needs: written by hand so that the package depends on nothing.
 *
 * What bytes mean beyond MessagePack's own types (tuples, datetimes …) is in values.js. Input may be hostile: lengths
 * are believed only as far as there are bytes, and nesting has an end.
 */

import { DecodeError, NotSerializable, PayloadTooLarge } from "./errors.js";

/** Lists and maps in each other; what is deeper is refused by Python, too. */
export const MAX_DEPTH = 1024;

/** An extension: a type code and bytes. */
export class Ext {
  constructor(code, data) {
    this.code = code;
    this.data = data;
  }
}

/** Bytes that are written as they are: they are MessagePack already. */
export class Packed {
  constructor(data) {
    this.data = data;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Writes values. `convert(value, path)` turns what MessagePack does not know into what it knows, or throws.
 *
 * `isRaw`: the old form that Lua reads: text and bytes are the same type, and there are no 8-bit lengths of it.
 */
export class Writer {
  constructor(convert, { isRaw = false, most = Infinity } = {}) {
    this.convert = convert;
    this.isRaw = isRaw;
    this.most = most;
    this.buffer = Buffer.allocUnsafe(256);
    this.size = 0;
    this.depth = 0;
    /** Its name, then indexes and keys. */
    this.path = [];
  }

  /** What has been written. */
  bytes() {
    return Buffer.from(this.buffer.subarray(0, this.size));
  }

  /** Where it is in the value, for errors. */
  place() {
    const [name, ...parts] = this.path.slice(0, 20);
    const told = parts.map((part) => (typeof part === "string" ? `.${part.slice(0, 40)}` : `[${String(part)}]`));
    return (name ?? "value") + told.join("") + (this.path.length > 20 ? "…" : "");
  }

  room(more) {
    if (this.size + more > this.most) {
      throw new PayloadTooLarge(`more than ${this.most} bytes`);
    }
    if (this.size + more > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.size + more));
      this.buffer.copy(larger, 0, 0, this.size);
      this.buffer = larger;
    }
    const at = this.size;
    this.size += more;
    return at;
  }

  byte(value) {
    const at = this.room(1); // which may be in another buffer
    this.buffer[at] = value;
  }

  /** A type byte and a number of 1, 2 or 4 bytes. */
  tagged(type, value, width) {
    const at = this.room(1 + width);
    this.buffer[at] = type;
    this.buffer.writeUIntBE(value, at + 1, width);
  }

  raw(data) {
    const at = this.room(data.length);
    this.buffer.set(data, at);
  }

  write(value) {
    switch (typeof value) {
      case "boolean":
        return this.byte(value ? 0xc3 : 0xc2);
      case "number":
        return Number.isSafeInteger(value) && !Object.is(value, -0) ? this.integer(value) : this.float(value);
      case "bigint":
        return this.bigint(value);
      case "string":
        return this.text(value);
      case "undefined":
        return this.byte(0xc0);
      case "object":
        return this.object(value);
    }
    throw new NotSerializable(`${this.place()}: a ${typeof value} is not serializable`);
  }

  integer(value) {
    if (value >= 0) {
      if (value < 0x80) this.byte(value);
      else if (value <= 0xff) this.tagged(0xcc, value, 1);
      else if (value <= 0xffff) this.tagged(0xcd, value, 2);
      else if (value <= 0xffffffff) this.tagged(0xce, value, 4);
      else this.bigint(BigInt(value));
    } else if (value >= -0x20) this.byte(value & 0xff);
    else if (value >= -0x80) this.tagged(0xd0, value & 0xff, 1);
    else if (value >= -0x8000) this.tagged(0xd1, value & 0xffff, 2);
    else if (value >= -0x80000000) this.tagged(0xd2, value >>> 0, 4);
    else this.bigint(BigInt(value));
  }

  bigint(value) {
    if (value >= -0x80000000n && value <= 0xffffffffn) return this.integer(Number(value));
    if (value >= -(1n << 63n) && value < 1n << 64n) {
      const at = this.room(9);
      this.buffer[at] = value < 0n ? 0xd3 : 0xcf;
      if (value < 0n) this.buffer.writeBigInt64BE(value, at + 1);
      else this.buffer.writeBigUInt64BE(value, at + 1);
      return undefined;
    }
    return this.write(this.convert(value, this));
  }

  float(value) {
    const at = this.room(9);
    this.buffer[at] = 0xcb;
    this.buffer.writeDoubleBE(value, at + 1);
  }

  text(value) {
    if (!value.isWellFormed()) {
      throw new NotSerializable(`${this.place()}: text with lone surrogates is not serializable; send it as bytes`);
    }
    const size = Buffer.byteLength(value);
    this.textHead(size);
    const at = this.room(size);
    this.buffer.write(value, at, size, "utf8");
  }

  textHead(size) {
    if (size < 32) this.byte(0xa0 | size);
    else if (size <= 0xff && !this.isRaw) this.tagged(0xd9, size, 1);
    else if (size <= 0xffff) this.tagged(0xda, size, 2);
    else this.tagged(0xdb, size, 4);
  }

  binary(data) {
    if (this.isRaw) this.textHead(data.length);
    else if (data.length <= 0xff) this.tagged(0xc4, data.length, 1);
    else if (data.length <= 0xffff) this.tagged(0xc5, data.length, 2);
    else this.tagged(0xc6, data.length, 4);
    this.raw(data);
  }

  extension({ code, data }) {
    const short = { 1: 0xd4, 2: 0xd5, 4: 0xd6, 8: 0xd7, 16: 0xd8 }[data.length];
    if (short) this.byte(short);
    else if (data.length <= 0xff) this.tagged(0xc7, data.length, 1);
    else if (data.length <= 0xffff) this.tagged(0xc8, data.length, 2);
    else this.tagged(0xc9, data.length, 4);
    this.byte(code & 0xff);
    this.raw(data);
  }

  object(value) {
    if (value === null) return this.byte(0xc0);
    if (Array.isArray(value)) return this.array(value);
    if (value instanceof Uint8Array) return this.binary(value);
    if (value instanceof Ext) return this.extension(value);
    if (value instanceof Packed) return this.raw(value.data);
    if (value instanceof Map) return this.map([...value]);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === null || prototype === Object.prototype) {
      return this.map(Object.entries(value).filter(([, item]) => item !== undefined));
    }
    return this.write(this.convert(value, this));
  }

  enter() {
    if (++this.depth > MAX_DEPTH) {
      const why = `nested too deeply: at most ${MAX_DEPTH} arrays and objects in each other; does it contain itself?`;
      throw new NotSerializable(`${this.place()}: ${why}`);
    }
  }

  array(items) {
    this.enter();
    if (items.length < 16) this.byte(0x90 | items.length);
    else if (items.length <= 0xffff) this.tagged(0xdc, items.length, 2);
    else this.tagged(0xdd, items.length, 4);
    for (let i = 0; i < items.length; i++) {
      this.path.push(i);
      this.write(items[i]);
      this.path.pop();
    }
    this.depth--;
  }

  map(entries) {
    this.enter();
    if (entries.length < 16) this.byte(0x80 | entries.length);
    else if (entries.length <= 0xffff) this.tagged(0xde, entries.length, 2);
    else this.tagged(0xdf, entries.length, 4);
    for (const [key, item] of entries) {
      this.path.push(key);
      this.write(key);
      this.write(item);
      this.path.pop();
    }
    this.depth--;
  }
}

/** Reads one value that fills `data`. `revive(code, bytes)` says what an extension means. Throws DecodeError. */
export function read(data, revive) {
  const reader = new Reader(data, revive);
  let value;
  try {
    value = reader.value(0);
  } catch (error) {
    if (error instanceof DecodeError) throw error;
    if (error instanceof RangeError && /call stack/.test(error.message)) throw new DecodeError("nested too deeply");
    throw new DecodeError(`not decodable: ${error.message}`, { cause: error });
  }
  if (reader.at !== data.length) throw new DecodeError("not decodable: there is something behind the value");
  return value;
}

class Reader {
  constructor(data, revive) {
    this.data = Buffer.from(data.buffer, data.byteOffset, data.length);
    this.revive = revive;
    this.at = 0;
  }

  take(size) {
    if (size > this.data.length - this.at) throw new DecodeError("not decodable: it is cut off");
    this.at += size;
    return this.at - size;
  }

  uint(width) {
    return this.data.readUIntBE(this.take(width), width);
  }

  slice(size) {
    const at = this.take(size);
    return this.data.subarray(at, at + size);
  }

  text(size) {
    return utf8.decode(this.slice(size));
  }

  value(depth) {
    const type = this.data[this.take(1)];
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type < 0x90) return this.map(type & 0x0f, depth);
    if (type < 0xa0) return this.array(type & 0x0f, depth);
    if (type < 0xc0) return this.text(type & 0x1f);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Uint8Array.from(this.slice(this.uint(1 << (type - 0xc4))));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.extension(this.uint(1 << (type - 0xc7)));
      case 0xca:
        return this.data.readFloatBE(this.take(4));
      case 0xcb:
        return this.data.readDoubleBE(this.take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.uint(1 << (type - 0xcc));
      case 0xcf:
        return natural(this.data.readBigUInt64BE(this.take(8)));
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.signed(1 << (type - 0xd0));
      case 0xd3:
        return natural(this.data.readBigInt64BE(this.take(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.extension(1 << (type - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.uint(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.array(this.uint(2 << (type - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.map(this.uint(2 << (type - 0xde)), depth);
    }
    throw new DecodeError(`not decodable: 0x${type.toString(16)} begins no value`);
  }

  signed(width) {
    return this.data.readIntBE(this.take(width), width);
  }

  extension(size) {
    const code = this.signed(1);
    return this.revive(code, this.slice(size));
  }

  /** Each member takes a byte at least, so a length that lies is found before anything is made for it. */
  enter(least, depth) {
    if (depth >= MAX_DEPTH) throw new DecodeError("nested too deeply");
    if (least > this.data.length - this.at) throw new DecodeError("not decodable: it is cut off");
  }

  array(size, depth) {
    this.enter(size, depth);
    const items = [];
    for (let i = 0; i < size; i++) items.push(this.value(depth + 1));
    return items;
  }

  /** A plain object where all keys are text, else a Map. */
  map(size, depth) {
    this.enter(2 * size, depth);
    const entries = [];
    for (let i = 0; i < size; i++) {
      const type = this.data[this.at];
      if ((type >= 0x80 && type < 0xa0) || (type >= 0xdc && type <= 0xdf)) {
        throw new DecodeError("not decodable: a key is an array or a map");
      }
      const key = this.value(depth + 1);
      entries.push([key, this.value(depth + 1)]);
    }
    return entries.every(([key]) => typeof key === "string") ? objectOf(entries) : new Map(entries);
  }
}

/** A number where it has all digits, else a BigInt. */
export function natural(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function objectOf(entries) {
  const made = {};
  for (const [key, value] of entries) {
    if (key === "__proto__") {
      Object.defineProperty(made, key, { value, enumerable: true, configurable: true, writable: true });
    } else {
      made[key] = value;
    }
  }
  return made;
}
