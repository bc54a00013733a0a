"""Enqueues of one turn of an event loop that go out together."""

from __future__ import annotations

import asyncio

from distq.broker.room import Word

MAX_CALLS, MAX_BYTES = 1000, 1 << 20

Like = tuple[str, bytes, bool, bool]
"""Queue, front, whether ids were given, whether it is durable: what calls that go out together have in common."""


class Turn:
    """Calls with the same options."""

    def __init__(self, front: bytes) -> None:
        self.front = front
        self.ids: list[str] = []
        self.messages: list[bytes] = []
        self.futures: list[asyncio.Future[Word]] = []
        self.size = 0

    def add(self, id: str, message: bytes) -> asyncio.Future[Word]:
        """The answer to one of them will be there."""
        future: asyncio.Future[Word] = asyncio.get_running_loop().create_future()
        self.ids.append(id)
        self.messages.append(message)
        self.futures.append(future)
        self.size += len(message)
        return future

    @property
    def is_full(self) -> bool:
        """Whether it must not grow any more."""
        return len(self.ids) >= MAX_CALLS or self.size >= MAX_BYTES
