/** Tasks from Node through a real broker and a real Python worker, and back. Run by tests/sdk/test_node.py. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import {
  AlreadyEnqueued,
  Producer,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskFailed,
  UnknownTask,
  python,
} from "../../src/index.js";

const producer = new Producer("app", { timeout: 20 });
after(() => producer.close());

const patient = { wait: 60 };

test("a call is run by a Python worker, and its result is read here", async () => {
  const handle = await producer.enqueue("add", [1], { b: 2 }, { priority: "high" });
  assert.equal(await handle.get(patient), 3);
  assert.equal(await handle.status(), "completed");
  assert.deepEqual([handle.created, handle.queue], [true, "default"]);
  assert.equal(await producer.result(handle.id), 3);
  assert.equal(await handle.cancel(), false);
});

test("values come back as what they were", async () => {
  const moment = new Date("2026-11-30T12:00:00.250Z");
  const value = {
    text: "grüße 🦊",
    big: 2n ** 80n,
    list: [1, 1.5, null, true],
    bytes: new Uint8Array([0, 255]),
    moment,
  };
  assert.deepEqual(await (await producer.enqueue("echo", [value])).get(patient), value);
  const kinds = [
    python.decimal("9.90"),
    python.date("2026-11-30"),
    python.tuple([1]),
    new Set(["a"]),
    new Map([[1, 2]]),
  ];
  const back = await (await producer.enqueue("echo", [kinds])).get(patient);
  assert.deepEqual(back, ["9.90", "2026-11-30", [1], new Set(["a"]), new Map([[1, 2]])]);
});

test("many calls travel together, and hundreds may wait at once", async () => {
  const handles = await producer.enqueueMany(
    "add",
    Array.from({ length: 1100 }, (_, n) => (n % 2 ? [n] : { a: n })),
  );
  const values = await Promise.all(handles.slice(-150).map((handle) => handle.get(patient)));
  assert.deepEqual(
    values,
    Array.from({ length: 150 }, (_, n) => 950 + n),
  );
});

test("how a task ended is the error that says so", async () => {
  const failed = await producer.enqueue("fail", ["no"], {}, { queue: "mail" });
  await assert.rejects(failed.get(patient), (error) => {
    assert.ok(error instanceof TaskFailed);
    assert.deepEqual([error.remoteType, error.remoteMessage, error.id], ["ValueError", "no", failed.id]);
    assert.match(error.remoteTraceback, /Traceback/);
    return true;
  });
  assert.equal(await failed.status(), "dead");
  const silent = await producer.enqueue("silent", [], {}, { resultTtl: 0 });
  await assert.rejects(silent.get(patient), ResultNotKept);
  await assert.rejects(producer.result("nobody"), UnknownTask);
  assert.equal(await producer.handle("nobody").status(), "unknown");
});

test("an id of one's own names one live task, wherever it is asked for", async () => {
  const options = { id: "käse/1", queue: "mail", delay: "1h" };
  const first = await producer.enqueue("echo", [], {}, options);
  assert.deepEqual([first.id, first.created, await first.status()], ["käse/1", true, "scheduled"]);
  assert.equal((await producer.enqueue("echo", [], {}, options)).created, false);
  const found = producer.handle("käse/1");
  await assert.rejects(found.get({ wait: 0.1 }), ResultTimeout);
  assert.equal(found.queue, "mail");
  assert.equal(await found.cancel({ by: "ann" }), true);
  await assert.rejects(first.get(patient), (error) => error instanceof TaskCancelled && error.by === "ann");
});

test("a name has one task, and Python's calls have the same names", async () => {
  const once = { uniqueKey: "ann", delay: "1h" };
  const first = await producer.enqueue("sync", ["ann"], {}, once);
  const second = await producer.enqueue("sync", ["ann"], {}, once);
  assert.deepEqual([second.id, first.created, second.created], [first.id, true, false]);
  await assert.rejects(
    producer.enqueue("sync", ["ann"], {}, { ...once, onDuplicate: "raise" }),
    (error) => error instanceof AlreadyEnqueued && error.id === first.id,
  );
  const other = await producer.enqueue("sync", ["ann"], {}, { ...once, onDuplicate: "replace" });
  await assert.rejects(first.get(patient), (error) => error.by === `replaced by ${other.id}`);
});

test("who waits may stop waiting; the task goes on", async () => {
  const handle = await producer.enqueue("echo", [7], {}, { delay: "1h" });
  const stop = new AbortController();
  const waiting = handle.get({ signal: stop.signal });
  setTimeout(() => stop.abort(new Error("enough")), 50);
  await assert.rejects(waiting, /enough/);
  assert.equal(await handle.status(), "scheduled");
});
