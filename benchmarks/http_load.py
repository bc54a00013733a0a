"""A load generator for HTTP/1.1 in one process: connections that send the same bytes again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast

import uvloop

T = TypeVar("T")


class Caller(asyncio.Protocol):
    """One connection. It sends when it is told to, and notes how long each answer took."""

    def __init__(self, request: bytes, status: bytes) -> None:
        self._request, self._status = request, status
        self._size, self._got = 0, 0
        self._began = 0.0
        self.is_closed_loop = False
        self.took: list[float] = []
        self.idle = asyncio.Event()
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may begin."""
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class
        self.idle.set()

    def send(self, began: float = 0.0) -> None:
        """One more request; `began`: when it should have been sent."""
        self._began = began or time.perf_counter()
        self._got = 0
        self.idle.clear()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Answers to the same request are equally long, but for the first: each is measured by its head."""
        if not self._got:
            head, end, _ = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + self._status), data[:500]
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            self._size = len(head) + len(end) + length
        self._got += len(data)
        if self._got >= self._size:
            self.took.append(time.perf_counter() - self._began)
            if self.is_closed_loop:
                self.send()
            else:
                self.idle.set()


async def callers(port: int, number: int, request: bytes, status: bytes) -> list[Caller]:
    """So many connections."""
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: Caller(request, status), "127.0.0.1", port))[1] for _ in range(number)
    ]


def request(path: str, body: bytes, key: str) -> bytes:
    """A POST, as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def rate(port: int, number: int, request: bytes, status: bytes, seconds: float) -> float:
    """Answers per second when each connection sends the next request as soon as it has an answer."""

    async def main() -> float:
        found = await callers(port, number, request, status)
        for caller in found:
            caller.is_closed_loop = True
            caller.send()
        await asyncio.sleep(seconds / 4)
        before, began = sum(len(caller.took) for caller in found), time.perf_counter()
        await asyncio.sleep(seconds)
        done, spent = sum(len(caller.took) for caller in found) - before, time.perf_counter() - began
        for caller in found:
            caller.is_closed_loop = False
            caller.transport.close()
        return done / spent

    return run(main())


def latencies(port: int, number: int, request: bytes, status: bytes, per_s: float, seconds: float) -> Sequence[float]:
    """Seconds that answers took at a given rate, each counted from when its request was due."""

    async def main() -> Sequence[float]:
        found = await callers(port, number, request, status)
        began = time.perf_counter()

        async def keep(position: int, caller: Caller) -> None:
            due = began + position / per_s
            while due < began + seconds:
                await asyncio.sleep(due - time.perf_counter())
                await caller.idle.wait()
                caller.send(due)
                due += number / per_s

        await asyncio.gather(*(keep(position, caller) for position, caller in enumerate(found)))
        await asyncio.wait_for(asyncio.gather(*(caller.idle.wait() for caller in found)), 10)
        for caller in found:
            caller.transport.close()
        return [took for caller in found for took in caller.took]

    return run(main())


def run(main: Coroutine[Any, Any, T]) -> T:
    """In uvloop: the generator shall not be what is measured."""
    return uvloop.run(main)
