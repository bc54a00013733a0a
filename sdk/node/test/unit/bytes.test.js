/**
 * Bytes from anywhere: whatever comes is a value, or an error that says so; nothing hangs, and nothing else is thrown.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as all from "../../src/index.js";
import { Operator } from "../../src/operator.js";
import { ProtocolError, Replies, ServerError } from "../../src/resp.js";
import * as scripts from "../../src/scripts.js";
import { decode, encode } from "../../src/values.js";
import { bytes, vectors } from "../support/vectors.js";

/** The same numbers in each run. */
function* chance(seed) {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

const below = (numbers, most) => numbers.next().value % most;

test("damaged values are values or a DecodeError", () => {
  const numbers = chance(7);
  const whole = vectors.values.map((one) => bytes(one.bytes)).filter((data) => data.length < 2000);
  let refused = 0;
  for (let round = 0; round < 1500; round++) {
    const data = Buffer.from(whole[below(numbers, whole.length)]);
    for (let times = below(numbers, 4); times >= 0; times--) data[below(numbers, data.length)] = below(numbers, 256);
    const cut = data.subarray(0, data.length - (round % 3 ? 0 : below(numbers, data.length)));
    try {
      decode(cut);
    } catch (error) {
      refused++;
      assert.ok(error instanceof all.DecodeError, error);
    }
  }
  assert.ok(refused > 300 && refused < 1500, String(refused));
});

test("replies in any pieces are the same replies; damaged ones are refused", () => {
  const text = "+OK\r\n:-7\r\n$-1\r\n$0\r\n\r\n*-1\r\n*3\r\n$4\r\na\r\nb\r\n:1\r\n*1\r\n+x\r\n-ERR no\r\n";
  const numbers = chance(11);
  const whole = [...fed(Buffer.from(text))];
  assert.deepEqual(whole.slice(0, -1).map(plain), ["OK", -7, null, "", null, ["a\r\nb", 1, ["x"]]]);
  assert.ok(whole.at(-1) instanceof ServerError && whole.at(-1).code === "ERR");
  for (let round = 0; round < 50; round++)
    assert.deepEqual([...fed(Buffer.from(text), () => 1 + below(numbers, 9))], whole);
  for (let round = 0; round < 1000; round++) {
    const data = Buffer.from(text);
    for (let times = below(numbers, 3); times >= 0; times--) data[below(numbers, data.length)] = below(numbers, 256);
    try {
      for (const reply of fed(data)) plain(reply);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, error);
    }
  }
  for (const bad of [
    "what\r\n",
    "$9999999999999999999\r\n",
    "*99999999\r\n",
    ":x\r\n",
    "$1\r\nabc\r\n",
    `${"*1\r\n".repeat(20)}`,
    `+${"x".repeat(70_000)}`,
  ]) {
    assert.throws(() => [...fed(Buffer.from(bad))], ProtocolError, bad.slice(0, 20));
  }
});

function* fed(data, size = () => data.length) {
  const replies = new Replies();
  for (let at = 0; at < data.length;) {
    const next = at + size();
    replies.feed(data.subarray(at, next));
    at = next;
    yield* replies;
  }
}

function plain(reply) {
  if (Array.isArray(reply)) return reply.map(plain);
  return Buffer.isBuffer(reply) ? reply.toString() : reply;
}

test("what is read again is what was written", () => {
  const value = {
    a: [1, -1, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, 1.5, "ü", null, true],
    b: new Set([1n << 90n]),
    c: new Map([[1, "x"]]),
  };
  assert.deepEqual(decode(encode(value)), { ...value });
  assert.deepEqual(decode(encode({ a: undefined, b: [undefined] })), { b: [null] });
  const loop = [];
  loop.push(loop);
  assert.throws(() => encode(loop), /does it contain itself/);
  const hostile = decode(encode(JSON.parse('{"__proto__": {"isAdmin": true}}')));
  assert.equal(hostile.isAdmin, undefined);
  assert.deepEqual(Object.keys(hostile), ["__proto__"]);
});

test("the scripts are those of this release", () => {
  const protocol = readFileSync(new URL("../../../../docs/protocol.md", import.meta.url), "utf8");
  assert.ok(protocol.includes(scripts.enqueue.sha));
  for (const [name, { sha, text }] of Object.entries(scripts)) {
    assert.equal(createHash("sha1").update(text).digest("hex"), sha, name);
  }
});

test("the types name what there is", () => {
  const told = readFileSync(new URL("../../index.d.ts", import.meta.url), "utf8");
  const named = [...told.matchAll(/^export (?:declare )?(?:class|const) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(named.sort(), Object.keys(all).sort());
  for (const kind of [all.Client, all.Producer, Operator]) {
    const body = new RegExp(`export (?:class|interface) ${kind.name} \\{(.*?)\\n\\}`, "s").exec(told)[1];
    const methods = [...body.matchAll(/^ {2}(\w+)(?:<[^>]*>)?\(/gm)].map(([, name]) => name);
    const there = Object.getOwnPropertyNames(kind.prototype).filter((name) => name !== "constructor");
    assert.deepEqual(methods.filter((name) => name !== "constructor").sort(), there.sort(), kind.name);
  }
});
