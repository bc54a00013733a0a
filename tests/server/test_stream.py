"""A stream of events ends with its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

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
