"""A stream of events: what its first one says, and its end with its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

import pytest

from distq import Distq
from distq.broker.ledger import Tally
from distq.broker.verbs import Depths
from distq.server import feed
from distq.server.stats import Stream


def test_what_a_stream_reads_from_is_closed_when_its_client_leaves_in_the_middle_of_a_frame() -> None:
    closed: list[bool] = []

    async def frames() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"frame"
        finally:
            closed.append(True)

    async def main() -> None:
        is_sending = asyncio.Event()

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                is_sending.set()
                await asyncio.Event().wait()

        async def receive() -> MutableMapping[str, Any]:
            await is_sending.wait()
            return {"type": "http.disconnect"}

        stream = Stream(frames())
        await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
        assert closed == [True]

    asyncio.run(main())


def test_who_comes_when_nobody_has_listened_is_not_shown_what_was_read_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def read(app: Distq) -> dict[str, Tally]:
        asked.append(f"queue-{len(asked) + 1}")
        return {asked[-1]: Tally(Depths(*[0] * len(Depths._fields)), {})}

    async def first(told: feed.Feed) -> bytes:
        frames = told.frames()
        try:
            return await anext(frames)
        finally:
            await frames.aclose()

    async def main() -> list[bytes]:
        told = feed.Feed(Distq("app"))
        return [await first(told), await first(told)]

    monkeypatch.setattr(feed, "read", read)
    frames = asyncio.run(main())
    assert [frame.count(name.encode()) for frame, name in zip(frames, asked, strict=True)] == [1, 1]
