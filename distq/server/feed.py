"""One reader of the broker's numbers, for everybody who listens.

It reads once a second, as long as somebody listens, and all get what it has read. Whoever is slow misses frames: each
frame says all that the one before said.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from distq.broker.ledger import Tally, difference, tally, total, totals
from distq.errors import BrokerError
from distq.facts import aplaces

if TYPE_CHECKING:
    from distq.app import Distq

logger = logging.getLogger("distq.server")

EVERY_S = 1.0


class Feed:
    """The one reader, and everybody who listens."""

    def __init__(self, app: Distq) -> None:
        self._app = app
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._frame, self._number = b"", 0
        self._news = asyncio.Event()
        self._is_closed = False

    async def frames(self) -> AsyncGenerator[bytes]:
        """The newest frame, whenever there is one that this listener has not had."""
        self._listeners += 1
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        seen = 0
        try:
            while not self._is_closed:
                news = self._news
                if self._number != seen:
                    seen = self._number
                    yield self._frame
                else:
                    await news.wait()
        finally:
            self._listeners -= 1
            if not self._listeners and self._reader is not None:
                self._reader.cancel()
                self._reader, self._number = None, 0  # who comes next is not shown what was read for others, long ago

    def close(self) -> None:
        """Ends all streams."""
        self._is_closed = True
        self._news.set()

    async def _read(self) -> None:
        while True:
            began = time.monotonic()
            try:
                frame = b"event: stats\ndata: %b\n\n" % json.dumps(numbers(await read(self._app))).encode()
            except BrokerError:
                frame = b"event: away\ndata: {}\n\n"
            except Exception:  # listeners would wait for ever
                logger.exception("the numbers cannot be read")
                frame = b"event: away\ndata: {}\n\n"
            self._frame, self._number = frame, self._number + 1
            news, self._news = self._news, asyncio.Event()
            news.set()
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))


async def read(app: Distq) -> dict[str, Tally]:
    """What is known of each queue."""
    broker = app.async_broker
    named = await aplaces(app)
    names = [name for group in named.values() for name in group]
    found = await asyncio.gather(*(broker.run(tally(broker.prefix(name))) for name in names))
    tallies = dict(zip(names, found, strict=True))
    return {queue: total([tallies[name] for name in group]) for queue, group in named.items()}


def numbers(found: dict[str, Tally]) -> dict[str, Any]:
    """The same for a frame."""
    whole = total(list(found.values()))
    return {
        "at_ms": round(time.time() * 1000),
        "totals": totals(whole.counts),
        "difference": difference(whole),
        "queues": [{"queue": queue, **one.depths._asdict()} for queue, one in found.items()],
    }
