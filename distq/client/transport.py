"""HTTP/1.1 to one server, blocking and for asyncio. Connections are kept and used again; it knows nothing of tasks."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from distq.errors import ConfigurationError

MOST_IDLE = 20
MOST_HEAD = 65536


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Its JSON; None if it is none, as from something between us and the server."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Place:
    """Where the server is."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigurationError(
                "give the server's address as http://host:port or https://host, without a password"
            )
        self.host, self.is_tls = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.is_tls else 80)
        self.path = parts.path.rstrip("/")
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.header = shown if parts.port is None else f"{shown}:{parts.port}"
        self.tls = ssl.create_default_context() if self.is_tls else None

    def connection(self) -> http.client.HTTPConnection:
        """A new one, which connects with its first request."""
        if self.is_tls:
            return http.client.HTTPSConnection(self.host, self.port, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port)


class Blocking:
    """For threads: each uses a connection of its own at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        """One request. Raises OSError when there is no answer."""
        place = self._place
        with self._lock:
            wire = self._idle.pop() if self._idle else None
        if wire is None:
            wire = place.connection()
        try:
            wire.timeout = timeout
            if wire.sock is not None:
                wire.sock.settimeout(timeout)
            wire.request(method, place.path + path, body, dict(headers))
            got = wire.getresponse()
            reply = Reply(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        except http.client.HTTPException as error:
            wire.close()
            raise ConnectionError(f"no answer: {error!r}") from error
        except BaseException:
            wire.close()
            raise
        with self._lock:
            if len(self._idle) < MOST_IDLE and not got.will_close:
                self._idle.append(wire)
                return reply
        wire.close()
        return reply

    def close(self) -> None:
        """Ends the idle connections."""
        with self._lock:
            for wire in self._idle:
                wire.close()
            self._idle.clear()


_Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Asking:
    """For one event loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[_Wire] = []

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        """One request. Raises OSError when there is no answer."""
        place = self._place
        lines = {"Host": place.header, **headers, "Content-Length": str(len(body or b""))}
        head = f"{method} {place.path}{path} HTTP/1.1\r\n" + "".join(
            f"{key}: {value}\r\n" for key, value in lines.items()
        )
        wire: _Wire | None = None
        try:
            async with asyncio.timeout(timeout):
                wire = self._idle.pop() if self._idle else await self._connect()
                wire[1].write(head.encode("latin-1") + b"\r\n" + (body or b""))
                await wire[1].drain()
                reply = await _read(wire[0])
        except (ValueError, EOFError) as error:
            _drop(wire)
            raise ConnectionError(f"no answer: {error!r}") from error
        except BaseException:
            _drop(wire)
            raise
        if len(self._idle) < MOST_IDLE and reply.headers.get("connection", "").lower() != "close":
            self._idle.append(wire)
        else:
            _drop(wire)
        return reply

    async def _connect(self) -> _Wire:
        return await asyncio.open_connection(self._place.host, self._place.port, ssl=self._place.tls, limit=MOST_HEAD)

    def close(self) -> None:
        """Ends the idle connections."""
        for wire in self._idle:
            _drop(wire)
        self._idle.clear()


def _drop(wire: _Wire | None) -> None:
    if wire is not None:
        wire[1].transport.abort()


async def _read(stream: asyncio.StreamReader) -> Reply:
    """An answer with a length, or in chunks. Raises ValueError and EOFError for what is none."""
    first, *lines = (await stream.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await stream.readline()).partition(b";")[0], 16):
            body += (await stream.readexactly(size + 2))[:-2]
        while (await stream.readline()).strip():
            pass
        return Reply(status, headers, body)
    length = 0 if status in (204, 304) else int(headers.get("content-length", "0"))
    return Reply(status, headers, await stream.readexactly(length))
