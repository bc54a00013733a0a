/**
 * The producer at brokers that hang, break off, lie and refuse: nothing is lost, doubled, or waited for without an end.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";

import {
  BrokerFull,
  BrokerUnavailable,
  Client,
  ConfigurationError,
  LayoutMismatch,
  NotSerializable,
  PayloadTooLarge,
  Producer,
  UnknownOption,
} from "../../src/index.js";
import { CREATED, fakeBroker, fakeServer, inTurn } from "../support/fakes.js";

function producerAt(t, broker, options = {}) {
  const producer = new Producer("shop", { broker, timeout: 20, ...options });
  t.after(() => producer.close());
  return producer;
}

test("a call says what the protocol says", async (t) => {
  const broker = await fakeBroker(t, inTurn(CREATED));
  const handle = await producerAt(t, broker.url.replace("/0", "/3").replace("//", "//ann:secret@")).enqueue(
    "add",
    [1, 2],
  );
  assert.deepEqual(
    broker.commands.slice(0, 5).map((words) => words.slice(0, 3)),
    [
      ["AUTH", "ann", "secret"],
      ["CLIENT", "SETNAME", "distq-node"],
      ["SELECT", "3"],
      ["SADD", "distq:queues", "shop/default"],
      ["HGET", "distq:{shop/default}:meta", "layout"],
    ],
  );
  const [, , keys, prefix, ...args] = broker.calls()[0];
  const message = "\xff\xff\xff\xff\0\0\0\x01\x01\0\x03add\x91\x92\x01\x02";
  assert.deepEqual([keys, prefix, ...args], ["1", "distq:{shop/default}:", "add", "default", "", handle.id, message]);
  assert.match(handle.id, /^default\.[0-9a-f]{20}$/);
});

test("an option that does not exist is passed over nowhere: a wrong word must not mean for ever", async (t) => {
  const broker = await fakeBroker(t, inTurn(CREATED));
  const producer = producerAt(t, broker.url);
  for (const handle of [producer.handle("shop.1"), new Client("http://localhost:1", { key: "k" }).handle("shop.1")]) {
    await assert.rejects(handle.get({ timeout: 10 }), /get\(\): there is no option "timeout"; there are: wait, signal/);
    await assert.rejects(handle.get(10), /options are an object, not 10/);
    await assert.rejects(handle.cancel({ runing: true }), /did you mean `running`/);
    await assert.rejects(handle.status({ wait: 1 }), UnknownOption);
  }
  await assert.rejects(producer.result("shop.1", { wiat: 1 }), /did you mean `wait`/);
  assert.throws(() => producer.handle("shop.1", { que: "mail" }), /did you mean `queue`/);
  assert.equal(broker.commands.length, 0);
});

test("a lost reply: the same bytes go over another connection", async (t) => {
  const lost = [
    (socket) => socket.destroy(),
    (socket) => void socket.end("*1\r\n$7\r\ncre"),
    (socket) => void socket.write("what?\r\n"),
  ];
  const broker = await fakeBroker(t, inTurn(...lost, "*1\r\n$7\r\ncreated\r\n"));
  const producer = producerAt(t, broker.url);
  const handle = await producer.enqueue("add", [1], {}, { id: "mine", delay: 5 });
  assert.equal(handle.created, true);
  const calls = broker.calls();
  assert.equal(calls.length, 4);
  for (const call of calls) assert.deepEqual(call, calls[0]);
});

test("a server that does not know the script is told it", async (t) => {
  const broker = await fakeBroker(t, inTurn("-NOSCRIPT No matching script.\r\n", CREATED));
  await producerAt(t, broker.url).enqueue("add");
  const words = broker.commands.map(([first]) => first).slice(-3);
  assert.deepEqual(words, ["EVALSHA", "SCRIPT", "EVALSHA"]);
});

test("what passes is waited for; what does not is told at once", async (t) => {
  const passing = await fakeBroker(t, inTurn("-LOADING in memory\r\n", "-READONLY You can't write\r\n", CREATED));
  await producerAt(t, passing.url).enqueue("add");
  const inScript = "-ERR Error running script (call to f_0): @user_script:5: -OOM command not allowed\r\n";
  for (const [answer, kind] of [
    ["-OOM command\r\n", BrokerFull],
    [inScript, BrokerFull],
    ["-NOPERM no\r\n", BrokerUnavailable],
  ]) {
    const broker = await fakeBroker(t, inTurn(answer));
    await assert.rejects(producerAt(t, broker.url).enqueue("add"), kind);
    assert.equal(broker.calls().length, 1);
  }
});

test("a broker that is silent, or gone, or none, costs no more than the time limit", async (t) => {
  const silent = await fakeServer(t, () => {});
  const garbage = await fakeServer(t, (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const half = await fakeBroker(t, ([word]) => (word === "EVALSHA" ? "*1\r\n" : undefined));
  const urls = [silent.redis, garbage.redis, half.url, "redis://127.0.0.1:1/0"];
  const began = performance.now();
  await Promise.all(
    urls.map(async (url) => {
      const producer = producerAt(t, url, { timeout: 0.2 });
      await assert.rejects(producer.enqueue("add"), BrokerUnavailable, url);
      await assert.rejects(producer.result("default.0123456789abcdef0123", { wait: 1 }), BrokerUnavailable, url);
    }),
  );
  assert.ok(performance.now() - began < 15_000);
});

test("a password is never shown, and a wrong one is told at once", async (t) => {
  const broker = await fakeBroker(t, ([word]) =>
    word === "AUTH" ? "-WRONGPASS invalid username-password pair\r\n" : undefined,
  );
  const producer = producerAt(t, broker.url.replace("//", "//ann:s3cret@"));
  await assert.rejects(producer.enqueue("add"), (error) => {
    assert.ok(
      error instanceof BrokerUnavailable && /WRONGPASS/.test(error.message) && !/s3cret/.test(error.stack),
      error,
    );
    return true;
  });
  assert.throws(
    () => new Producer("shop", { broker: "redis://ann:s3c/ret@host:port" }),
    (error) => !/s3c/.test(error.message),
  );
});

test("another layout is refused", async (t) => {
  const broker = await fakeBroker(t, ([word]) => (word === "HGET" ? "$1\r\n3\r\n" : undefined));
  await assert.rejects(producerAt(t, broker.url).enqueue("add"), LayoutMismatch);
  assert.equal(broker.calls().length, 0);
});

test("replies may come in any pieces, and calls share a connection", async (t) => {
  const broker = await fakeBroker(t, ([word, , , , , , , id], socket) => {
    if (word !== "EVALSHA") return undefined;
    for (const letter of `*1\r\n$${6 + id.length}\r\nfirst ${id}\r\n`) socket.write(letter);
    return undefined;
  });
  const producer = producerAt(t, broker.url);
  const handles = await Promise.all(Array.from({ length: 20 }, (_, n) => producer.enqueue("add", [n])));
  handles.forEach((handle) => assert.equal(handle.created, true));
  assert.equal(broker.commands.filter(([word]) => word === "CLIENT").length, 1);
});

test("what cannot be sent is refused before anything is", async (t) => {
  const broker = await fakeBroker(t, inTurn(CREATED));
  const producer = producerAt(t, broker.url, { maxPayload: 1000 });
  class Thing {}
  const refused = [
    [[["x".repeat(1000)]], PayloadTooLarge, /add: .* limit of 1000 bytes/],
    [[[{ a: [new Thing()] }]], NotSerializable, /^args\[0\]\.a\[0\]: a Thing is not/],
    [[[], { f: () => 1 }], NotSerializable, /^kwargs\.f: a function/],
    [[["\ud800"]], NotSerializable, /^args\[0\]: .*surrogates/],
    [[[new Date(NaN)]], NotSerializable, /Date/],
    [[[1n << 70000n]], NotSerializable, /integer is too large/],
    [["not a list"], NotSerializable, /^args: /],
    [[[], [1]], NotSerializable, /^kwargs: /],
    [[[], {}, { priorty: "high" }], UnknownOption, /did you mean `priority`/],
    [[[], {}, { prio: "high" }], UnknownOption, /did you mean `priority`/],
    [[[], {}, { durable: true }], UnknownOption, /use the Client/],
    [[[], {}, { result_ttl: 1 }], UnknownOption, /did you mean `resultTtl`/],
    [[[], {}, { priority: "hihg" }], ConfigurationError, /did you mean `high`/],
    [[[], {}, { delay: "5 parsecs" }], ConfigurationError, /delay: "5 parsecs" is no duration/],
    [[[], {}, { delay: -1 }], ConfigurationError, /delay/],
    [[[], {}, { delay: 1, eta: new Date() }], ConfigurationError, /contradict/],
    [[[], {}, { eta: "tomorrow" }], ConfigurationError, /eta: "tomorrow": give a valid Date/],
    [[[], {}, { expires: 0 }], ConfigurationError, /expires/],
    [[[], {}, { id: "two words" }], ConfigurationError, /id: "two words"/],
    [[[], {}, { once: true }], ConfigurationError, /once needs id/],
    [[[], {}, { retries: 1.5 }], ConfigurationError, /retries/],
    [[[], {}, { version: 0 }], ConfigurationError, /version/],
    [[[], {}, { queue: "a b" }], ConfigurationError, /queue/],
    [[[], {}, { timeLimit: 1, softTimeLimit: 1 }], ConfigurationError, /softTimeLimit/],
    [[[], {}, { throttle: 5 }], ConfigurationError, /uniqueKey/],
    [[[], {}, { uniqueKey: "a", throttle: 5, debounce: 5 }], ConfigurationError, /contradict/],
    [[[], {}, { uniqueKey: "#a" }], ConfigurationError, /uniqueKey/],
    [[[], {}, { key: "a\nb" }], ConfigurationError, /key/],
  ];
  for (const [args, kind, text] of refused) {
    await assert.rejects(producer.enqueue("add", ...args), (error) => {
      assert.ok(error instanceof kind && text.test(error.message) && error.name === kind.name, error);
      return true;
    });
  }
  await assert.rejects(producer.enqueue("v2/add"), /names such as v2/);
  await assert.rejects(producer.enqueueMany("add", [[1], [new Thing()]]), /^NotSerializable: calls\[1\]: args\[0\]/);
  assert.equal(broker.commands.length, 0);
});

test("settings are checked where they are made", () => {
  const wrong = [
    ["a b"],
    ["shop", { brokr: "x" }],
    ["shop", { timeout: 0 }],
    ["shop", { timeout: 61 }],
    ["shop", { maxPayload: 1.5 }],
    ["shop", { broker: "http://x" }],
    ["shop", { broker: "sentinel://a,b/c" }],
    ["shop", { broker: "redis://x/name" }],
    ["shop", { broker: "redis://x/0?a=b" }],
    ["shop", { broker: "nonsense" }],
  ];
  for (const given of wrong) assert.throws(() => new Producer(...given), ConfigurationError, String(given));
});

test("a producer that is closed says so, and who waits is told", async (t) => {
  const broker = await fakeBroker(t, () => undefined);
  const producer = producerAt(t, broker.url);
  const waiting = assert.rejects(producer.enqueue("add"), BrokerUnavailable);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await producer.close();
  await waiting;
  await assert.rejects(producer.enqueue("add"), /closed/);
});

test("an aborted call is over at once, and its late reply is nobody else's", async (t) => {
  let late;
  const broker = await fakeBroker(
    t,
    inTurn(
      (socket) => void (late = socket),
      (socket) => void (late.write(CREATED), socket.write("*1\r\n$9\r\nduplicate\r\n")),
    ),
  );
  const producer = producerAt(t, broker.url);
  const stop = new AbortController();
  const call = producer.enqueue("add", [], {}, { id: "a", signal: stop.signal });
  while (!late) await new Promise((resolve) => setImmediate(resolve));
  stop.abort(new Error("enough"));
  await assert.rejects(call, /enough/);
  assert.equal((await producer.enqueue("add", [], {}, { id: "b" })).created, false);
});

test("a program that has nothing else to do ends by itself", async (t) => {
  const broker = await fakeBroker(t, inTurn(CREATED));
  const code = `import { Producer } from ${JSON.stringify(new URL("../../src/index.js", import.meta.url).href)};
    console.log((await new Producer("shop", { broker: "${broker.url}" }).enqueue("add")).queue);`;
  const said = await new Promise((resolve, reject) =>
    execFile(process.execPath, ["--input-type=module", "-e", code], { timeout: 30_000 }, (error, out) =>
      error ? reject(error) : resolve(out),
    ),
  );
  assert.equal(said, "default\n");
});
