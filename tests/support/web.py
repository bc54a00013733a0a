"""A client for the HTTP API that keeps one connection, and raw bytes for what a well-behaved client would not send."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.host import Host


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        assert self.headers["content-type"] == "application/problem+json", self
        return [error["field"] for error in self.json["errors"]]


class Web:
    """One server at 127.0.0.1, asked with one key, or none."""

    def __init__(self, port: int, key: str | None = None, root: str = "") -> None:
        self.port, self.key, self._root = port, key, root
        self._others: list[Web] = []
        self.host: Host
        """Its process, where a test has started one."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def as_(self, key: str | None) -> Web:
        """The same server, asked by somebody else."""
        self._others.append(Web(self.port, key, self._root))
        return self._others[-1]

    def reconnect(self) -> None:
        """The next request has a connection of its own: a server closes one that has been idle for long."""
        self._connection.close()

    def close(self) -> None:
        for web in (self, *self._others):
            web._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request; `body` goes as JSON, `raw` as it is."""
        sent = {"X-API-Key": self.key} if self.key is not None else {}
        if body is not None:
            raw, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        sent |= dict(headers or {})
        try:
            self._connection.request(method, self._root + path, raw, sent)
            reply = self._connection.getresponse()
            found = Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        except (ConnectionError, http.client.HTTPException):
            self._connection.close()
            raise
        return found

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)

    def task(self, type: str, *args: Any, **kwargs: Any) -> str:
        """The id of a new task."""
        made = self.post("/api/v1/tasks", {"type": type, "args": args, "kwargs": kwargs})
        assert made.status == 201, made
        return str(made.json["id"])

    @contextmanager
    def wire(self) -> Iterator[socket.socket]:
        """A connection without a client."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as wire:
            yield wire

    def bytes(self, data: bytes, within: float = 15.0) -> bytes:
        """What comes back for these bytes, until the other side closes or has answered."""
        with self.wire() as wire:
            wire.settimeout(within)
            wire.sendall(data)
            return read_answer(wire)


def read_answer(wire: socket.socket) -> bytes:
    """One answer, as bytes: until its length is there, or the connection ends."""
    found, until = b"", time.monotonic() + 20
    while time.monotonic() < until:
        try:
            more = wire.recv(65536)
        except ConnectionError:
            break
        if not more:
            break
        found += more
        head, end, body = found.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if end and name.lower() == b"content-length" and len(body) >= int(value):
                return found
    return found


def status_of(answer: bytes) -> int:
    """The status in an answer's first line; 0: there is none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/") else 0
