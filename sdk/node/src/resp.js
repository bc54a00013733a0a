/** The broker's wire format, RESP2: commands out, replies in. Input may be garbage: then it throws ProtocolError. */

const CRLF = Buffer.from("\r\n");
const MOST_BULK = 512 * 1024 * 1024;
const MOST_ITEMS = 1 << 20;
const MOST_LINE = 64 * 1024;
const MOST_DEPTH = 8;

/** What came is no reply. */
export class ProtocolError extends Error {}

/** An error reply. `code` is its first word: texts differ between servers, codes do not. */
export class ServerError extends Error {
  constructor(said) {
    // How Redis 6.2 says that a command in a script was refused; newer ones say at once what the command said.
    const text = /^ERR Error running script .*@user_script: *\d+: -?([A-Z]+ .*)/s.exec(said)?.[1] ?? said;
    super(text);
    this.code = text.split(" ", 1)[0].replace(/^-/, "");
  }
}

/** A command: an array of bulk strings. Items are text, bytes or whole numbers. */
export function command(...items) {
  const parts = [Buffer.from(`*${items.length}\r\n`)];
  for (const item of items) {
    const data = item instanceof Uint8Array ? item : Buffer.from(String(item));
    parts.push(Buffer.from(`$${data.length}\r\n`), data, CRLF);
  }
  return Buffer.concat(parts);
}

const INCOMPLETE = Symbol("incomplete");

/** Takes bytes as they come; gives whole replies: Buffers, numbers, null, ServerErrors, or arrays of these. */
export class Replies {
  constructor() {
    this.chunks = [];
    this.size = 0;
    /** So many bytes have to be there before it is worth looking again. */
    this.needed = 1;
  }

  feed(data) {
    this.chunks.push(data);
    this.size += data.length;
  }

  /** All replies that are there as a whole. */
  *[Symbol.iterator]() {
    while (this.size >= this.needed) {
      const data = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
      this.chunks = [data];
      this.at = 0;
      this.data = data;
      this.needed = data.length + 1;
      const reply = this.reply(0);
      if (reply === INCOMPLETE) return;
      this.chunks = this.at < data.length ? [data.subarray(this.at)] : [];
      this.size = data.length - this.at;
      this.needed = 1;
      yield reply;
    }
  }

  line() {
    const end = this.data.indexOf(CRLF, this.at);
    if (end < 0 || end - this.at > MOST_LINE) {
      if (this.data.length - this.at > MOST_LINE) throw new ProtocolError("a line without an end");
      return INCOMPLETE;
    }
    const text = this.data.toString("utf8", this.at, end);
    this.at = end + 2;
    return text;
  }

  reply(depth) {
    if (this.at >= this.data.length) return INCOMPLETE;
    const line = this.line();
    if (line === INCOMPLETE) return INCOMPLETE;
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
        return Buffer.from(rest);
      case "-":
        return new ServerError(rest);
      case ":":
        return number(rest, Number.MAX_SAFE_INTEGER);
      case "$":
        return this.bulk(number(rest, MOST_BULK));
      case "*":
        return this.array(number(rest, MOST_ITEMS), depth);
    }
    throw new ProtocolError(`no reply begins with ${JSON.stringify(line.slice(0, 20))}`);
  }

  bulk(size) {
    if (size < 0) return null;
    const end = this.at + size;
    if (end + 2 > this.data.length) {
      this.needed = end + 2;
      return INCOMPLETE;
    }
    if (this.data[end] !== 13 || this.data[end + 1] !== 10) throw new ProtocolError("a reply is longer than it says");
    const found = this.data.subarray(this.at, end);
    this.at = end + 2;
    return found;
  }

  array(size, depth) {
    if (size < 0) return null;
    if (depth >= MOST_DEPTH) throw new ProtocolError("arrays nested too deeply");
    const items = [];
    for (let i = 0; i < size; i++) {
      const item = this.reply(depth + 1);
      if (item === INCOMPLETE) return INCOMPLETE;
      items.push(item);
    }
    return items;
  }
}

function number(text, most) {
  if (!/^-?\d{1,16}$/.test(text) || Number(text) > most) throw new ProtocolError(`${text.slice(0, 20)} is no length`);
  return Number(text);
}
