/**
 * A message: one requested call as it travels (docs/protocol.md, "Message"). Pure; the same bytes as distq/message.py.
 *
 * Producers send it from offset 16 on: the broker's clock writes the two fields before.
 */

import { randomBytes } from "node:crypto";

import { ConfigurationError, PayloadTooLarge, didYouMean, shown } from "./errors.js";
import { Writer } from "./msgpack.js";
import { encode } from "./values.js";

export const PRIORITIES = ["low", "default", "high"];
/** `result_ttl_s` of a message whose producer does not know the task's declaration. */
export const NEVER_SAID = 0xffffffff;
export const MOST_DELIVERIES = 15;
const MAX_ID = 200;
const MAX_KEY = 200;
const PLAIN = 1;
const FLOWING = 2;
const SENT_SIZE = 11;
const STORED = 16;

const TYPE = /^[A-Za-z0-9_.:/-]{1,200}$/;
const LIKE_A_LANE = /^v[0-9]+\//;
const PLACE = /^[A-Za-z0-9_-]{1,64}$/;
const GENERATED = /^([A-Za-z0-9_-]{1,64}(?:\/[1-9][0-9]?)?)\.[0-9a-f]{20}$/;
const ID = /^[^\s\x00-\x1f\x7f-\x9f]+$/u;
const CONTROL = /[\x00-\x1f\x7f]/;

/**
 * The message of a call, from offset 16 on. Throws NotSerializable, PayloadTooLarge.
 *
 * `head`: what checkOptions() of options.js has found.
 */
export function pack(head, args, kwargs, most) {
  const call = [args];
  if (Object.keys(head.headers).length) call.push(kwargs, head.headers);
  else if (Object.keys(kwargs).length) call.push(kwargs);
  const front = packHead(head);
  try {
    return Buffer.concat([front, encode(call, { name: "call", most: most - front.length })]);
  } catch (error) {
    if (error instanceof PayloadTooLarge) {
      throw new PayloadTooLarge(
        `${head.type}: the message is above the limit of ${most} bytes: store the data elsewhere and send its address, ` +
          "or raise maxPayload here and max_payload in the application",
      );
    }
    error.message = error.message
      .replace(/^call\[0\]/, "args")
      .replace(/^call\[1\]/, "kwargs")
      .replace(/^call\[2\]/, "headers");
    throw error;
  }
}

function packHead({ type, priority, resultTtlS, maxDeliveries, flow }) {
  const name = Buffer.from(type, "ascii");
  const front = Buffer.alloc(SENT_SIZE);
  front.writeUInt32BE(resultTtlS ?? NEVER_SAID, 0);
  front[7] = flow ? FLOWING : PLAIN;
  front[8] = priority;
  front[9] = maxDeliveries << 2;
  front[10] = name.length;
  if (!flow) return Buffer.concat([front, name]);
  const told = packRaw(flow);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(told.length);
  return Buffer.concat([front, name, size, told]);
}

/** As scripts read it: text and bytes are one type. Small whole values are ints, as Python writes them. */
export function packRaw(value) {
  const writer = new Writer(() => null, { isRaw: true });
  writer.write(value);
  return writer.bytes();
}

/** Whether a stored message says that its task keeps no result. */
export function keepsNothing(stored) {
  return stored instanceof Uint8Array && stored.length >= STORED + 4 && Buffer.from(stored).readUInt32BE(STORED) === 0;
}

/** A fresh id: `queue.` and 80 random bits, so that the id alone tells where its task lives. */
export function newId(queue) {
  return `${queue}.${randomBytes(10).toString("hex")}`;
}

/** The queue named in a generated id; undefined for an id given by a user. */
export function queueOf(id) {
  return GENERATED.exec(id)?.[1];
}

export function checkId(id) {
  if (typeof id !== "string" || !ID.test(id) || !id.isWellFormed() || Buffer.byteLength(id) > MAX_ID) {
    throw new ConfigurationError(
      `id: ${shown(id)} cannot be an id: use text of 1 to ${MAX_ID} bytes without spaces or control characters`,
    );
  }
  return id;
}

export function checkPlace(name, what) {
  if (typeof name !== "string" || !PLACE.test(name)) {
    throw new ConfigurationError(`${what}: ${shown(name)} is no valid name: use 1 to 64 letters, digits and _ -`);
  }
  return name;
}

/** The type as it travels: with the version of its arguments. */
export function checkType(type, version) {
  if (typeof type === "string" && LIKE_A_LANE.test(type)) {
    throw new ConfigurationError(`type: ${shown(type)} cannot be a type: names such as v2/… are those of lanes`);
  }
  if (typeof type !== "string" || !TYPE.test(type)) {
    throw new ConfigurationError(`type: ${shown(type)} cannot be a type: use 1 to 200 letters, digits and _ . : / -`);
  }
  return version === 1 ? type : `${type}@${version}`;
}

export function priorityNumber(value) {
  if (PRIORITIES.includes(value)) return PRIORITIES.indexOf(value);
  if (Number.isInteger(value) && value >= 0 && value <= 2) return value;
  const hint = typeof value === "string" ? didYouMean(value, PRIORITIES) : "";
  throw new ConfigurationError(`priority: ${shown(value)} is none of high, default, low (or 2, 1, 0)${hint}`);
}

/** The key of a call whose type has limits per key. */
export function checkKey(value) {
  const key = textOf(value, "key");
  if (Buffer.byteLength(key) > MAX_KEY || CONTROL.test(key)) {
    throw new ConfigurationError(`key: ${shown(key)}: use at most ${MAX_KEY} bytes without control characters`);
  }
  return key;
}

/**
 * The name of a unique call. Longer ones travel from Python as a digest of Python's own text, which is not made here.
 */
export function checkName(value) {
  const name = textOf(value, "uniqueKey");
  if (Buffer.byteLength(name) > MAX_KEY || name.startsWith("#")) {
    throw new ConfigurationError(`uniqueKey: ${shown(name)}: use at most ${MAX_KEY} bytes that do not begin with #`);
  }
  return name;
}

function textOf(value, what) {
  if (typeof value === "string" && value.isWellFormed()) return value;
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return String(value);
  throw new ConfigurationError(`${what}: ${shown(value)}: give text, or a whole number`);
}
