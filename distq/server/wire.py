"""The HTTP protocol of the server, with bounds that uvicorn's own does not have: for the head of a request, in time and
in bytes, and for the time in which a client takes nothing of its answer. The body has its own, in `guard`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 5.0
HEAD_BYTES = 65536
MOST_WAITING = 32
"""Requests of a connection behind the one that is answered."""
LOOK_S = 15
MOST_LOOKS = 4
"""So often in a row a client may have taken nothing of what is there for it."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(Protocol):
    """One of those that the server has."""

    transport: Any


class Unread:
    """Cuts off clients that do not read: closing alone would wait for them for ever."""

    def __init__(self) -> None:
        self._seen: dict[Connection, tuple[int, int]] = {}

    def look(self, connections: Iterable[Connection]) -> None:
        """To be called every `LOOK_S` seconds."""
        now: dict[Connection, tuple[int, int]] = {}
        for one in connections:
            size = one.transport.get_write_buffer_size()
            before, looks = self._seen.get(one, (0, 0))
            if not size:
                continue
            if size == before and looks + 1 >= MOST_LOOKS:
                one.transport.abort()
            else:
                now[one] = size, looks + 1 if size == before else 0
        self._seen = now


class Bounded(HttpToolsProtocol):
    """One connection. Whoever is slow with a head, or sends a huge one, is told so and cut off."""

    _head_bytes = 0
    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """The first request is waited for like the head of one."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to be told any more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head."""
        super().data_received(data)
        if self._too_late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._cut_off(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins, also behind another one on the same connection. Raises ValueError, which ends it, if too
        many wait: thousands fit into what is read at once, and nobody else would be served before all are parsed."""
        if len(self.pipeline) >= MOST_WAITING:
            raise ValueError("too many requests at once on one connection")
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._end_head()
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever wants another protocol gets an answer in this one."""

    def _begin_head(self) -> None:
        if self._too_late is None:
            self._head_bytes = 0
            self._too_late = self.loop.call_later(HEAD_S, self._cut_off, _TOO_SLOW)

    def _end_head(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _cut_off(self, said: bytes) -> None:
        self._end_head()
        if not self.transport.is_closing():
            self.transport.write(said)
            self.transport.close()
