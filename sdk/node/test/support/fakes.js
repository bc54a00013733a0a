/** Servers that do what no good server does. They end with the test. */

import http from "node:http";
import net from "node:net";

import { Replies } from "../../src/resp.js";

const CALM = {
  SADD: ":1\r\n",
  HGET: "$-1\r\n",
  AUTH: "+OK\r\n",
  CLIENT: "+OK\r\n",
  SCRIPT: "+OK\r\n",
  SELECT: "+OK\r\n",
};
export const CREATED = "*1\r\n$7\r\ncreated\r\n";

/**
 * A broker: `answer(words, socket, number)` is asked for each command that is not about the connection; it gives what
 * is written, or nothing. `url`, and the `commands` that came, as words.
 */
export async function fakeBroker(t, answer) {
  const commands = [];
  const { port } = await listening(t, net.createServer(), (server, sockets) => {
    server.on("connection", (socket) => {
      sockets.add(socket);
      const requests = new Replies();
      socket.on("error", () => {});
      socket.on("data", (data) => {
        requests.feed(data);
        for (const words of requests) {
          commands.push(words.map((word) => word.toString("latin1")));
          const said = answer(commands.at(-1), socket, commands.length) ?? CALM[commands.at(-1)[0]];
          if (said !== undefined && !socket.destroyed) socket.write(said);
        }
      });
    });
  });
  return {
    url: `redis://127.0.0.1:${port}/0`,
    port,
    commands,
    calls: () => commands.filter(([word]) => word === "EVALSHA"),
  };
}

/**
 * The n-th call of a script gets the n-th answer: text, or a function of its socket. The last one is for all others.
 */
export function inTurn(...answers) {
  let turn = 0;
  return ([word], socket) => {
    if (word !== "EVALSHA") return undefined;
    const now = answers[Math.min(turn++, answers.length - 1)];
    return typeof now === "function" ? now(socket) : now;
  };
}

/** Anything that listens: `serve(socket)` for each connection. */
export async function fakeServer(t, serve) {
  const { port } = await listening(t, net.createServer(), (server, sockets) => {
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      serve(socket);
    });
  });
  return { port, http: `http://127.0.0.1:${port}`, redis: `redis://127.0.0.1:${port}/0` };
}

/** An HTTP server: `answer(request, response, body, number)`. `requests`: those that came. */
export async function fakeSite(t, answer) {
  const requests = [];
  const { port } = await listening(t, http.createServer(), (server, sockets) => {
    server.on("connection", (socket) => sockets.add(socket));
    server.on("request", (request, response) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        requests.push(request);
        answer(request, response, Buffer.concat(chunks).toString(), requests.length);
      });
    });
  });
  return { url: `http://127.0.0.1:${port}`, requests };
}

export function json(response, status, document, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(document));
}

function listening(t, server, prepare) {
  const sockets = new Set();
  prepare(server, sockets);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ port: server.address().port })));
}
