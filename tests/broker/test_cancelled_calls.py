"""Whoever is cancelled while he waits for a reply does not go on, also if it comes in the same turn of the loop."""

from __future__ import annotations

import asyncio

import pytest

from distq.broker.aio import AsyncBroker, AsyncWire
from distq.broker.scripts import encode
from tests.support.room import Room


class Cancels(AsyncWire):
    """Cancels whoever waits when the reply is there, before he has it."""

    waits: asyncio.Task[object]

    async def _read(self) -> None:
        data = await self._reader.read(65536)
        self._replies.feed(data)
        self._waiting.popleft().set_result(self._replies.gets())
        self.waits.cancel()


def test_a_call_that_is_cancelled_in_the_turn_in_which_its_reply_comes(room: Room) -> None:
    async def main() -> None:
        wire = Cancels(room.url, 5.0)
        await wire.open()
        wire.waits = asyncio.create_task(wire.call(encode("PING")))
        with pytest.raises(asyncio.CancelledError):
            await wire.waits
        wire.close()

    asyncio.run(main())


def test_a_durable_call_likewise(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        broker = AsyncBroker(room.app, room.url, 5.0)

        async def flush(self: AsyncBroker, state: object, like: object, batch: object) -> None:
            [future] = batch.futures  # type: ignore[attr-defined]
            future.set_result(b"created")
            calls.cancel()

        monkeypatch.setattr(AsyncBroker, "_flush", flush)
        calls = asyncio.create_task(broker.enqueue("default", b"", "id", b"", is_durable=True))
        with pytest.raises(asyncio.CancelledError):
            await calls
        broker.close()

    asyncio.run(main())
