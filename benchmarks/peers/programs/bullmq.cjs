// BullMQ: `node bullmq.cjs produce` answers what it reads, as driver.py does; `node bullmq.cjs work SLOTS` is a worker.
// Its handler counts in memory; a timer writes the number down, for the harness.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { Queue, Worker } = require("bullmq");

const url = new URL(process.env.BENCH_URL);
const folder = process.env.BENCH_FOLDER;
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const now = () => Number(process.hrtime.bigint());
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function work(slots) {
  let count = 0n;
  let written = -1n;
  const cell = Buffer.alloc(8);
  const file = fs.openSync(path.join(folder, `${process.pid}-0.count`), "w+");
  const write = () => {
    if (count === written) return;
    cell.writeBigUInt64LE(count);
    fs.writeSync(file, cell, 0, 8, 0);
    written = count;
  };
  write();
  setInterval(write, 10);
  const handlers = {
    noop: async (number) => { count += 1n; return number; },
    sleep: async (number) => { await pause(10); count += 1n; return number; },
    stamp: async (number) => {
      const at = now();
      fs.appendFileSync(path.join(folder, "started"), `${number} ${at}\n`);
      return number;
    },
  };
  const worker = new Worker("bench", async (job) => handlers[job.name](job.data.number), { connection, concurrency: slots });
  worker.on("error", (error) => console.error(error));
  process.on("SIGTERM", () => worker.close().then(() => process.exit(0)));
}

async function produce() {
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  const add = (task, number) => queue.add(task, { number });
  const timed = async (what) => {
    const begun = now();
    await what();
    return { seconds: (now() - begun) / 1e9 };
  };
  const calls = {
    enqueue: ({ task, number, producers }) => timed(() => Promise.all(
      Array.from({ length: producers }, async (_, index) => {
        for (let n = index; n < number; n += producers) await add(task, n);
      }),
    )),
    bulk: ({ task, number }) => timed(async () => {
      for (let start = 0; start < number; start += 1000) {
        const size = Math.min(1000, number - start);
        await queue.addBulk(Array.from({ length: size }, (_, n) => ({ name: task, data: { number: start + n } })));
      }
    }),
    pace: async ({ gaps }) => {
      const sent = [];
      for (const [number, gap] of gaps.entries()) {
        await pause(gap * 1000);
        sent.push(now());
        await add("stamp", number);
      }
      return { sent };
    },
    value: async ({ number }) => {
      const { id } = await add("noop", number);
      for (;;) {
        const job = await queue.getJob(id);
        if (job.finishedOn) return { value: job.returnvalue };
        await pause(10);
      }
    },
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    process.stdout.write(`${JSON.stringify(await calls[told.call](told))}\n`);
  }
  await queue.close();
}

if (process.argv[2] === "work") work(Number(process.argv[3]));
else produce();
