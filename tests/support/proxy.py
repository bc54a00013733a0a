"""A network that fails on request: a proxy between distq and its broker, whose faults are changed while it runs.

    with Proxy(server.url) as proxy:
        app = Distq("shop", broker=proxy.url)
        with proxy.fault(CutReply(match=script("enqueue").sha, times=1)):   # it runs, its reply is lost, once
            task.delay()

A fault meets the requests that contain `match`, on connections whose first bytes contain `client` (the name by which a
connection presents itself: "distq-worker" …); both are empty for all. After `times` requests it is over (None: never).
It runs in a thread of its own, and reads nothing of the protocol but what it looks for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CHUNK = 65536
NAME_WITHIN = 1024
"""A connection says its name within its first bytes."""


@dataclass(eq=False, kw_only=True)
class Fault:
    """What is common to all; `met` counts the requests that it has met."""

    match: str = ""
    client: str = ""
    times: int | None = None
    met: int = 0

    @property
    def is_over(self) -> bool:
        return self.times is not None and self.met >= self.times


@dataclass(eq=False, kw_only=True)
class CutRequest(Fault):
    """The connection ends before the request reaches the broker."""


@dataclass(eq=False, kw_only=True)
class CutReply(Fault):
    """The broker runs the request; the connection ends instead of bringing the reply."""


@dataclass(eq=False, kw_only=True)
class Stall(Fault):
    """`after` bytes of the reply, then silence: until the fault is taken away, or for `seconds`."""

    after: int = 0
    seconds: float | None = None


@dataclass(eq=False, kw_only=True)
class Chop(Fault):
    """The reply comes in segments of `size` bytes, with `pause` seconds between them."""

    size: int = 1
    pause: float = 0.0


@dataclass(eq=False, kw_only=True)
class Delay(Fault):
    """The request arrives `seconds` later."""

    seconds: float = 0.1


@dataclass(eq=False, kw_only=True)
class Blackhole(Fault):
    """Connections stay open and nothing is relayed until it is taken away: then what was held back arrives.

    `requests`, `replies`: in which directions. It holds whole connections: `match` and `times` mean nothing to it.
    """

    requests: bool = True
    replies: bool = True


@dataclass(eq=False, kw_only=True)
class Refuse(Fault):
    """New connections are turned away. `times`: so many of them."""


class Proxy:
    """Listens on 127.0.0.1 and relays to the broker at `target`."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._faults: tuple[Fault, ...] = ()
        self._connections: set[_Connection] = set()
        self._changed = asyncio.Event()

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}{self._target.path if self._target.scheme == 'redis' else '/0'}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self.cut()
        self._call(_end_of_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- the faults --------------------------------------------------------------------------------------------------

    def set(self, *faults: Fault) -> None:
        """From now on these, and no others; none: everything passes, also what was held back."""

        async def change() -> None:
            self._faults = faults
            self._changed.set()
            self._changed = asyncio.Event()

        self._call(change())

    @contextmanager
    def fault(self, *faults: Fault) -> Iterator[None]:
        """These as long as the block lasts, in addition to those that are there."""
        before = self._faults
        self.set(*before, *faults)
        try:
            yield
        finally:
            self.set(*before)

    def cut(self, client: str = "") -> int:
        """Ends the open connections of these clients now; how many there were."""

        async def end() -> int:
            found = [connection for connection in self._connections if connection.is_of(client)]
            for connection in found:
                connection.end()
            return len(found)

        return int(self._call(end()))

    def forget(self) -> None:
        """From now on nothing passes on the connections that are open, for ever, and nobody is told; new ones pass."""

        async def change() -> None:
            for connection in self._connections:
                connection.is_forgotten = True

        self._call(change())

    # -- its connections ---------------------------------------------------------------------------------------------

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if refusal := next((fault for fault in self._faults if isinstance(fault, Refuse) and not fault.is_over), None):
            refusal.met += 1
            writer.transport.abort()
            return
        try:
            if self._target.scheme == "unix":
                there = await asyncio.open_unix_connection(self._target.path)
            else:
                there = await asyncio.open_connection(self._target.hostname, self._target.port or 6379)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        connection = _Connection(self, (reader, writer), there)
        self._connections.add(connection)
        try:
            await connection.relay()
        finally:
            self._connections.discard(connection)

    def faults_for(self, connection: _Connection) -> list[Fault]:
        """Those that may meet this connection now."""
        return [fault for fault in self._faults if not fault.is_over and connection.is_of(fault.client)]

    def stands(self, fault: Fault) -> bool:
        """Whether it has not been taken away."""
        return fault in self._faults

    async def change(self, seconds: float | None = None) -> None:
        """Waits until the faults are others, or so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)


class _Connection:
    """Two pumps, and what is to befall the next reply."""

    def __init__(self, proxy: Proxy, here: _Ends, there: _Ends) -> None:
        self._proxy = proxy
        (self._client, self._to_client), (self._broker, self._to_broker) = here, there
        self._first = b""
        self._tail = b""
        self._next: list[Fault] = []
        self.is_forgotten = False

    def is_of(self, client: str) -> bool:
        return client.encode() in self._first

    def end(self) -> None:
        self._to_client.transport.abort()
        self._to_broker.transport.abort()

    async def relay(self) -> None:
        pumps = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.end()
            for pump in pumps:
                pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(self) -> None:
        with suppress(OSError):
            while data := await self._client.read(CHUNK):
                self._first = (self._first + data)[:NAME_WITHIN] if len(self._first) < NAME_WITHIN else self._first
                await self._held("requests")
                for fault in self._met_by(data):
                    fault.met += 1
                    if isinstance(fault, CutRequest):
                        return
                    if isinstance(fault, Delay):
                        await asyncio.sleep(fault.seconds)
                    else:
                        self._next.append(fault)
                self._to_broker.write(data)
                await self._to_broker.drain()

    def _met_by(self, data: bytes) -> list[Fault]:
        """A request can come in several pieces: what is looked for may begin in the one before."""
        seen, self._tail = self._tail + data, data[-64:]
        return [
            fault
            for fault in self._proxy.faults_for(self)
            if not isinstance(fault, Blackhole | Refuse) and fault.match.encode() in seen
        ]

    async def _replies(self) -> None:
        with suppress(OSError):
            while data := await self._broker.read(CHUNK):
                await self._held("replies")
                faults, self._next = list(dict.fromkeys(self._next)), []  # pipelined requests may have met one twice
                pieces = [data]
                for fault in faults:
                    if isinstance(fault, CutReply):
                        return
                    if isinstance(fault, Stall):
                        await self._write(data[: fault.after])
                        pieces = [data[fault.after :]]
                        await self._stalled(fault)
                    if isinstance(fault, Chop):
                        rest = b"".join(pieces)
                        pieces = [rest[start : start + fault.size] for start in range(0, len(rest), fault.size)]
                        for piece in pieces[:-1]:
                            await self._write(piece)
                            if self._proxy.stands(fault):
                                await asyncio.sleep(fault.pause)
                        pieces = pieces[-1:]
                for piece in pieces:
                    await self._write(piece)

    async def _write(self, data: bytes) -> None:
        self._to_client.write(data)
        await self._to_client.drain()

    async def _stalled(self, fault: Stall) -> None:
        if fault.seconds is not None:
            await asyncio.sleep(fault.seconds)
            return
        while self._proxy.stands(fault):
            await self._proxy.change()

    async def _held(self, direction: str) -> None:
        while self.is_forgotten:
            await self._proxy.change()
        while any(isinstance(fault, Blackhole) and getattr(fault, direction) for fault in self._proxy.faults_for(self)):
            await self._proxy.change()


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _end_of_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
