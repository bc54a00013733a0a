/** The HTTP client at a real server, with a real worker behind it. Run by tests/sdk/test_node.py. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AlreadyEnqueued,
  Client,
  ConfigurationError,
  DistqError,
  InvalidArguments,
  PayloadTooLarge,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskFailed,
  UnknownQueue,
  UnknownTask,
} from "../../src/index.js";

const client = new Client(process.env.DISTQ_URL, { key: process.env.DISTQ_API_KEY, timeout: 30 });
const patient = { wait: 60 };

test("calls and handles are those of the producer", async () => {
  const handle = await client.enqueue("add", [1], { b: 2 }, { priority: "high", resultTtl: "1h" });
  assert.equal(await handle.get(patient), 3);
  assert.deepEqual([await handle.status(), handle.created, handle.queue], ["completed", true, "default"]);
  assert.equal(await client.result(handle.id, patient), 3);
  const many = await client.enqueueMany(
    "add",
    Array.from({ length: 1001 }, (_, n) => (n % 2 ? [n] : { a: n })),
  );
  assert.equal(await many[1000].get(patient), 1000);
  const mine = await client.enqueue(
    "echo",
    [],
    {},
    { id: "käse/12", queue: "mail", eta: new Date(Date.now() + 3.6e6) },
  );
  assert.deepEqual([mine.id, await mine.status()], ["käse/12", "scheduled"]);
  await assert.rejects(mine.get({ wait: 0.1 }), ResultTimeout);
  assert.deepEqual([await mine.cancel(), await mine.cancel()], [true, false]);
  await assert.rejects(mine.get(patient), TaskCancelled);
});

test("what does not fit, or ended badly, is an error that says so", async () => {
  await assert.rejects(client.enqueue("add"), InvalidArguments);
  await assert.rejects(client.enqueueMany("add", [[1], []]), (error) => {
    assert.ok(error instanceof InvalidArguments);
    assert.deepEqual([error.status, error.errors[0].field], [400, "calls.1.kwargs.a"]);
    return true;
  });
  await assert.rejects(client.enqueue("add", [1], {}, { queue: "nope" }), UnknownQueue);
  await assert.rejects(client.enqueue("ad", [1]), /did you mean `add`/);
  await assert.rejects(client.enqueue("add", [1], {}, { priority: 9 }), ConfigurationError);
  await assert.rejects(client.enqueue("echo", ["x".repeat(1 << 20)]), PayloadTooLarge);
  await client.enqueue("strict", ["ann"], {}, { delay: "1h" });
  await assert.rejects(client.enqueue("strict", ["ann"]), AlreadyEnqueued);
  await assert.rejects(client.result("nobody"), UnknownTask);
  await assert.rejects((await client.enqueue("silent")).get(patient), ResultNotKept);
  for (const key of [undefined, "wrong-key-of-some-length"]) {
    const stranger = new Client(process.env.DISTQ_URL, { key });
    await assert.rejects(
      stranger.enqueue("add", [1]),
      (error) => error instanceof ConfigurationError && error.status === 401,
    );
    await assert.rejects(stranger.events().next(), ConfigurationError);
  }
});

test("dead letters are seen, grouped and run again", async () => {
  const failed = await client.enqueue("fail", ["no"]);
  await assert.rejects(
    failed.get(patient),
    (error) => error instanceof TaskFailed && error.remoteType === "ValueError",
  );
  const letters = [];
  for await (const letter of client.deadLetters({ type: "fail", queue: "mail" })) letters.push(letter);
  assert.deepEqual([letters[0].id, letters[0].error], [failed.id, "ValueError"]); // the newest first
  const { groups } = await client.deadGroups();
  assert.equal(groups[0].newest_id, failed.id);
  assert.deepEqual(await client.replay({ ids: [failed.id], dryRun: true }), {
    number: 1,
    dry_run: true,
    complete: true,
  });
  const again = await client.retry(failed.id, { args: ["well"] });
  assert.deepEqual([again.id, await again.get(patient)], [failed.id, "done"]);
  for (const ask of ["task", "why", "retry"]) await assert.rejects(client[ask]("nobody"), UnknownTask);
  await assert.rejects(client.replay({}), ConfigurationError);
  assert.deepEqual(await client.purgeDead({ ids: [failed.id] }), { number: 0, dry_run: false, complete: true });
});

test("queues, tasks, workers, numbers and schedules", async () => {
  const later = await client.enqueue("echo", [1], {}, { queue: "mail", delay: "1h" });
  assert.ok((await client.queue("mail")).scheduled >= 1);
  assert.deepEqual((await client.queues()).map(({ queue }) => queue).sort(), ["default", "mail"]);
  const found = [];
  for await (const task of client.tasks({ state: "scheduled", queue: "mail" })) found.push(task.id);
  assert.ok(found.includes(later.id));
  assert.equal((await client.task(later.id)).status, "scheduled");
  assert.equal((await client.why(later.id)).gates[0].name, "scheduled");
  assert.ok((await client.purge("mail", { place: "scheduled" })).number >= 1);
  assert.equal((await client.workers()).length, 1);
  assert.equal((await client.stats()).difference, 0);
  const made = await client.schedule("report", { when: "0 7 * * *", type: "add", args: [4], tz: "Europe/Berlin" });
  assert.equal(made.next.length, 5);
  assert.equal((await client.editSchedule("report", { when: "@hourly" })).when, "@hourly");
  assert.equal((await client.pauseSchedule("report")).state, "paused");
  assert.equal(await (await client.triggerSchedule("report")).get(patient), 4);
  assert.equal((await client.resumeSchedule("report")).state, "active");
  assert.ok((await client.schedules()).some(({ name }) => name === "report"));
  await client.deleteSchedule("report");
  await assert.rejects(client.getSchedule("report"), (error) => error instanceof DistqError && error.status === 404);
});

test("events come once a second for as long as somebody listens", async () => {
  const seen = [];
  for await (const { event, data } of client.events()) {
    seen.push([event, data.difference]);
    if (seen.length === 2) break;
  }
  assert.deepEqual(seen, [
    ["stats", 0],
    ["stats", 0],
  ]);
});
