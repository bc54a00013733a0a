/** Byte for byte what Python makes of the same, by the vectors that both share. */

import assert from "node:assert/strict";
import { test } from "node:test";

import * as errors from "../../src/errors.js";
import { readEnding, valueOf } from "../../src/handle.js";
import { pack, packRaw } from "../../src/message.js";
import { checkOptions } from "../../src/options.js";
import { decode, encode } from "../../src/values.js";
import { bytes, received, sent, vectors } from "../support/vectors.js";

const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** The same bytes; if not, where they begin to differ. */
function same(actual, expected) {
  let at = 0;
  while (at < expected.length && actual[at] === expected[at]) at++;
  const around = (data) => `${data.length} bytes, from ${at} on ${data.subarray(at, at + 40).toString("hex")}`;
  assert.equal(around(actual), around(expected));
}

test("the vectors are there", () => {
  for (const part of ["values", "received", "refused", "messages", "endings"])
    assert.ok(vectors[part].length > 5, part);
});

for (const { name, value, bytes: words } of vectors.values) {
  test(`values: ${name}`, () => {
    const data = bytes(words);
    same(encode(sent(value)), data);
    assert.deepEqual(decode(data), received(value));
  });
}

for (const { name, value, bytes: words } of vectors.received) {
  test(`received: ${name}`, () => assert.deepEqual(decode(bytes(words)), received(value)));
}

for (const { name, bytes: words } of vectors.refused) {
  test(`refused: ${name}`, () => assert.throws(() => decode(bytes(words)), errors.DecodeError));
}

for (const { name, type, args, kwargs, options, queue, message, told } of vectors.messages) {
  test(`messages: ${name}`, () => {
    const said = Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), option(value)]));
    const call = checkOptions(type, said, "default");
    const script = call.id === undefined ? call.script : { ...call.script, token: vectors.token };
    same(pack(call.head, sent(args), sent(kwargs), 1 << 20), bytes(message));
    same(Object.keys(script).length ? packRaw(script) : Buffer.alloc(0), bytes(told));
    assert.equal(call.queue, queue);
  });
}

/** An option is no value that travels: a number is a number. */
function option(value) {
  const found = sent(value);
  return typeof value === "object" && "$float" in value ? Number(value.$float) : found;
}

for (const { name, bytes: words, value, error, ...told } of vectors.endings) {
  test(`endings: ${name}`, () => {
    const get = () => valueOf("id", readEnding(bytes(words)));
    if (error === undefined) {
      assert.deepEqual(get(), received(value));
      return;
    }
    assert.throws(get, (thrown) => {
      assert.ok(thrown instanceof errors[error], thrown);
      if (told.type !== undefined)
        assert.deepEqual([thrown.remoteType, thrown.remoteMessage], [told.type, told.message]);
      if (told.by !== undefined) assert.equal(thrown.by, told.by);
      return true;
    });
  });
}
