/** A broker behind TLS that wants a certificate of its clients. Run by tests/sdk/test_node.py. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BrokerUnavailable, ConfigurationError, Producer } from "../../src/index.js";

const { DISTQ_BROKER: url, CERTIFICATES: folder } = process.env;

test("the address, or options of node:tls, say whom to trust and who we are", async () => {
  const files = `ssl_ca_certs=${folder}/ca.crt&ssl_certfile=${folder}/client.crt&ssl_keyfile=${folder}/client.key`;
  const [ca, cert, key] = ["ca.crt", "client.crt", "client.key"].map((name) => readFileSync(`${folder}/${name}`));
  for (const options of [{ broker: `${url}?${files}` }, { broker: url, tls: { ca, cert, key } }]) {
    const producer = new Producer("app", options);
    assert.equal((await producer.enqueue("add", [1])).created, true);
    await producer.close();
  }
});

test("a certificate that nobody has vouched for is refused, and not tried again", async () => {
  const stranger = new Producer("app", { broker: url, timeout: 60 });
  await assert.rejects(stranger.enqueue("add"), (error) => {
    assert.ok(error instanceof BrokerUnavailable);
    assert.match(error.message, /certificate.*ssl_ca_certs=/);
    return true;
  });
  assert.throws(() => new Producer("app", { broker: `${url}?ssl_ca_certs=${folder}/none` }), ConfigurationError);
  assert.throws(() => new Producer("app", { broker: `${url}?ssl_cert_reqs=none` }), /no option ssl_cert_reqs/);
});
