/** The HTTP client at servers that hang, break off, lie and redirect. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AlreadyEnqueued,
  BrokerUnavailable,
  Client,
  ConfigurationError,
  DistqError,
  InvalidArguments,
  NotSerializable,
  PayloadTooLarge,
  UnknownOption,
} from "../../src/index.js";
import { fakeServer, fakeSite, json } from "../support/fakes.js";

const KEY = "k-of-sixteen-chars";
const MADE = { id: "default.0123456789abcdef0123", queue: "default", created: true };
const clientAt = (url, options = {}) => new Client(url, { key: KEY, timeout: 20, ...options });

test("a lost answer: the request goes out again, and is recognized by its Idempotency-Key", async (t) => {
  const site = await fakeSite(t, (request, response, body, number) => {
    if (number === 1) request.socket.destroy();
    else if (number === 2)
      response.writeHead(201, { "Content-Length": 100 }).write('{"id":', () => request.socket.destroy());
    else json(response, 201, MADE);
  });
  assert.equal((await clientAt(`${site.url}/prefix/`).enqueue("add", [1])).id, MADE.id);
  const keys = site.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.ok(keys[0].length > 20);
  assert.deepEqual([site.requests[0].url, site.requests[0].headers["x-api-key"]], ["/prefix/api/v1/tasks", KEY]);
});

test("what would be done twice is not sent twice", async (t) => {
  const site = await fakeSite(t, (request) => request.socket.destroy());
  const client = clientAt(site.url);
  await assert.rejects(
    client.api.replay({ all: true }),
    (error) => error instanceof BrokerUnavailable && /may have been done/.test(error.message),
  );
  await assert.rejects(client.api.retry("mine"), BrokerUnavailable);
  assert.equal(site.requests.length, 2);
});

test("what the server wants later waits for as long as it says", async (t) => {
  const site = await fakeSite(t, (request, response, body, number) => {
    if (number < 3) json(response, number === 1 ? 503 : 429, {}, { "Retry-After": "0" });
    else json(response, 201, MADE);
  });
  await clientAt(site.url).enqueue("add");
  const later = await fakeSite(t, (request, response) => json(response, 503, {}, { "Retry-After": "3600" }));
  await assert.rejects(
    clientAt(later.url).enqueue("add"),
    /the server says 503; it was not there within the time limit/,
  );
  assert.equal(later.requests.length, 1);
  await assert.rejects(clientAt(later.url).api.retry("mine"), BrokerUnavailable);
});

test("a server that is silent, or none, costs no more than the time limit", async (t) => {
  const silent = await fakeServer(t, () => {});
  const trickling = await fakeServer(t, (socket) => {
    socket.write("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    const drops = setInterval(() => socket.write("1\r\n \r\n"), 20);
    socket.on("close", () => clearInterval(drops));
  });
  const garbage = await fakeServer(t, (socket) => socket.end("-ERR unknown command 'POST'\r\n"));
  const urls = [silent.http, trickling.http, garbage.http, "http://127.0.0.1:1"];
  const began = performance.now();
  await Promise.all(
    urls.map((url) => assert.rejects(clientAt(url, { timeout: 0.2 }).enqueue("add"), BrokerUnavailable, url)),
  );
  assert.ok(performance.now() - began < 15_000);
});

test("an answer that is not distq's is told as such", async (t) => {
  const site = await fakeSite(t, (request, response) => response.writeHead(200).end("<html>hello</html>"));
  await assert.rejects(clientAt(site.url).enqueue("add"), /not with the JSON of distq/);
  await assert.rejects(clientAt(site.url).api.queues(), DistqError);
});

test("a redirection is not followed: the key goes nowhere else", async (t) => {
  const thief = await fakeSite(t, (request, response) => json(response, 201, MADE));
  const site = await fakeSite(t, (request, response) => response.writeHead(307, { Location: thief.url }).end());
  await assert.rejects(
    clientAt(site.url).enqueue("add"),
    (error) => error.status === 307 && !error.message.includes(KEY),
  );
  await assert.rejects(clientAt(site.url).events().next(), ConfigurationError);
  assert.equal(thief.requests.length, 0);
});

test("problems become errors that name the field", async (t) => {
  const problem = { detail: "it is wrong", errors: [{ field: "kwargs.b", message: "missing" }] };
  const site = await fakeSite(t, (request, response) => json(response, 400, problem));
  await assert.rejects(clientAt(site.url).enqueue("add"), (error) => {
    assert.ok(error instanceof InvalidArguments);
    assert.deepEqual([error.message, error.status, error.errors], ["kwargs.b: missing", 400, problem.errors]);
    return true;
  });
  for (const [status, kind] of [
    [401, ConfigurationError],
    [403, ConfigurationError],
    [413, PayloadTooLarge],
    [500, DistqError],
  ]) {
    const other = await fakeSite(t, (request, response) => response.writeHead(status).end("x"));
    await assert.rejects(
      clientAt(other.url).enqueue("add"),
      (error) => error instanceof kind && error.status === status,
    );
  }
});

test("with onDuplicate: raise, the error has the tasks of all calls", async (t) => {
  const problem = { detail: "task b is there already", ids: ["a", "b"], refused: "b" };
  const site = await fakeSite(t, (request, response) => json(response, 409, problem));
  for (const call of [clientAt(site.url).enqueue("sync"), clientAt(site.url).enqueueMany("sync", [[1], [2]])]) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof AlreadyEnqueued);
      assert.deepEqual([error.id, error.status, error.handles.map(({ id }) => id)], ["b", 409, ["a", "b"]]);
      return true;
    });
  }
});

test("what cannot travel is refused before anything is sent", async (t) => {
  const site = await fakeSite(t, (request, response) => json(response, 201, MADE));
  const client = clientAt(site.url);
  const loop = {};
  loop.loop = loop;
  await assert.rejects(
    client.enqueue("add", ["x".repeat(9 << 20)]),
    (error) => error instanceof PayloadTooLarge && /8388608 bytes/.test(error.message),
  );
  for (const value of [NaN, 1n, new Map(), new Uint8Array(1), () => 1, Symbol("x"), new Date(NaN), loop]) {
    await assert.rejects(
      client.enqueue("add", [{ a: value }]),
      (error) => error instanceof NotSerializable && /^args\.0\./.test(error.message),
    );
  }
  await assert.rejects(
    client.enqueue("add", [], {}, { resultTTL: 1 }),
    (error) => error instanceof UnknownOption && /resultTtl/.test(error.message),
  );
  for (const id of ["", ".", "..", 7]) assert.throws(() => client.handle(id), ConfigurationError);
  for (const url of ["127.0.0.1:80", "ftp://x", "http://", "http://user:secret@x", "http://x?key=1"]) {
    assert.throws(() => new Client(url), ConfigurationError, url);
  }
  assert.throws(() => new Client(site.url, { key: "a\nb" }), ConfigurationError);
  assert.throws(() => new Client(site.url, { timeout: 0 }), ConfigurationError);
  assert.equal(site.requests.length, 0);
});

test("many calls travel in requests of a bounded size", async (t) => {
  const sizes = [];
  const site = await fakeSite(t, (request, response, body) => {
    const { calls } = JSON.parse(body);
    sizes.push(calls.length);
    json(response, 201, { ids: calls.map((_, n) => `default.${n}`), number: calls.length, created: calls.length });
  });
  const handles = await clientAt(site.url).enqueueMany("add", [
    ...Array(1500).fill([1]),
    ...Array(3).fill(["x".repeat(900_000)]),
  ]);
  assert.deepEqual([handles.length, sizes], [1503, [1000, 503]]);
  assert.equal((await clientAt(site.url).enqueueMany("add", Array(5).fill(["x".repeat(900_000)]))).length, 5);
  assert.deepEqual(sizes.slice(2), [3, 2]);
});

test("a long wait is many short ones, and ends when it is aborted", async (t) => {
  let asked = 0;
  const site = await fakeSite(t, (request, response, body, number) => {
    asked = number;
    if (number < 3) json(response, 202, { id: "a", status: "running" });
    if (number === 3) json(response, 200, { id: "a", status: "completed", result: 7, is_kept: true });
  });
  const client = clientAt(site.url);
  assert.equal(await client.result("a"), 7);
  assert.match(site.requests[0].url, /^\/api\/v1\/results\/a\?wait=30\.000$/);
  const stop = new AbortController();
  const waiting = assert.rejects(client.result("a", { signal: stop.signal }), /enough/);
  while (asked < 4) await new Promise((resolve) => setImmediate(resolve));
  stop.abort(new Error("enough"));
  await waiting;
});

test("events go on after a break, and say that there was one", async (t) => {
  const frame = Buffer.from(
    'event: stats\r\ndata: {"name": "grüße"}\r\n\r\n: a remark\n\nevent: stats\ndata: {"n":\ndata: 2}\n\n',
  );
  const site = await fakeSite(t, (request, response, body, number) => {
    if (number === 2) return json(response, 503, {});
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const byte of frame) response.write(Buffer.of(byte));
    if (number === 1) response.write("event: sta", () => request.socket.destroy());
    return undefined;
  });
  const seen = [];
  for await (const event of clientAt(site.url).events()) {
    seen.push(event.event === "away" ? "away" : event.data);
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, [{ name: "grüße" }, { n: 2 }, "away", { name: "grüße" }, { n: 2 }]);
  assert.equal(site.requests[0].headers["x-api-key"], KEY);
});
