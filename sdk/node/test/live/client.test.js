/** The HTTP client at a real server, with a real worker behind it. Run by tests/sdk/test_node.py. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AlreadyEnqueued,
  Client,
  ConfigurationError,
  InvalidArguments,
  PayloadTooLarge,
  ResultNotKept,
  ResultTimeout,
  TaskCancelled,
  TaskFailed,
  UnknownQueue,
  UnknownSchedule,
  UnknownTask,
} from "../../src/index.js";

const client = new Client(process.env.DISTQ_URL, { key: process.env.DISTQ_API_KEY, timeout: 30 });
const { api } = client;
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

test("dead letters are seen, grouped, run again and deleted", async () => {
  const failed = await client.enqueue("fail", ["no"]);
  await assert.rejects(
    failed.get(patient),
    (error) => error instanceof TaskFailed && error.remoteType === "ValueError",
  );
  const letters = [];
  for await (const letter of api.everyDead({ type: "fail", queue: "mail" })) letters.push(letter);
  assert.deepEqual([letters[0].id, letters[0].error], [failed.id, "ValueError"]); // the newest first
  assert.equal((await api.dead({ limit: 1, olderThan: "0s" })).dead[0].id, failed.id);
  assert.equal((await api.deadGroups()).groups[0].newest_id, failed.id);
  const one = { number: 1, dry_run: true, complete: true };
  assert.deepEqual(await api.replay({ ids: [failed.id], dryRun: true }), one);
  assert.equal((await api.retry(failed.id, { args: ["well"] })).id, failed.id);
  assert.equal(await failed.get(patient), "done");
  for (const ask of ["task", "why", "retry", "delete"]) await assert.rejects(api[ask]("nobody"), UnknownTask);
  await assert.rejects(api.delete(failed.id), (error) => error.status === 409);
  await assert.rejects(api.replay({}), ConfigurationError);
  assert.deepEqual(await api.purgeDead({ ids: [failed.id] }), { ...one, number: 0, dry_run: false });
});

test("queues, pauses, limits, budgets, tasks, workers and numbers", async () => {
  const later = await client.enqueue("echo", [1], {}, { queue: "mail", delay: "1h", headers: { from: "node" } });
  assert.ok((await api.queue("mail")).scheduled >= 1);
  await assert.rejects(api.queue("nope"), UnknownQueue);
  assert.deepEqual((await api.queues()).queues.map(({ queue }) => queue).sort(), ["default", "mail"]);
  const found = [];
  for await (const task of api.everyTask({ state: "scheduled", queue: "mail" })) found.push(task.id);
  assert.ok(found.includes(later.id));
  assert.equal((await api.tasks({ limit: 1, state: "scheduled" })).tasks.length, 1);
  assert.equal((await api.task(later.id)).status, "scheduled");
  assert.equal((await api.why(later.id)).gates[0].name, "scheduled");
  assert.ok((await api.purge("mail", { place: "scheduled" })).number >= 1);
  assert.deepEqual(await api.pause({ queue: "mail", reason: "the provider is down" }), { changed: true });
  assert.equal((await api.pauses()).pauses[0].reason, "the provider is down");
  assert.deepEqual(await api.resume({ queue: "mail" }), { changed: true });
  assert.equal((await api.setLimits("add", { maxRunning: 3 })).limits[0].now.max_running, 3);
  assert.equal((await api.limits("add")).limits[0].is_set, true);
  await api.clearLimits("add");
  assert.ok((await api.park("maps", "1m")).parked_until);
  assert.equal((await api.budget("maps")).name, "maps");
  assert.equal((await api.budgets()).budgets.length, 2);
  assert.equal((await api.workers()).hosts.length, 1);
  assert.equal((await api.stats()).difference, 0);
});

test("schedules are made, changed, triggered and deleted", async () => {
  const made = await api.createSchedule("report", "0 7 * * *", "add", { args: [4], tz: "Europe/Berlin" });
  assert.equal(made.next.length, 5);
  assert.equal((await api.editSchedule("report", { when: "@hourly" })).when, "@hourly");
  assert.equal((await api.pauseSchedule("report")).state, "paused");
  const { id } = await api.triggerSchedule("report");
  assert.equal(await client.result(id, patient), 4);
  assert.equal((await api.resumeSchedule("report")).state, "active");
  assert.equal((await api.schedule("report")).history.length, 1);
  assert.ok((await api.schedules()).schedules.some(({ name }) => name === "report"));
  await api.deleteSchedule("report");
  await assert.rejects(api.schedule("report"), UnknownSchedule);
  assert.equal((await api.resetSchedule("hourly")).name, "hourly");
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
