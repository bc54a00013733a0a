"""Numbers: the ledger and the depths, when somebody asks, and once a second for whoever listens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from distq.broker.ledger import by_type, total
from distq.server.feed import numbers, read
from distq.server.models import Stats
from distq.server.site import READS, answer, site_of

router = APIRouter(tags=["stats"])

MOST_TYPES = 500


@router.get("/stats", responses={200: {"model": Stats}, **READS})
async def stats(request: Request) -> Response:
    """What has happened since the queues were made, and how many tasks are where. By type: the 500 most frequent."""
    found = await read(site_of(request).app)
    whole = total(list(found.values()))
    types = by_type(whole.counts)
    frequent = sorted(types, key=lambda type: -types[type].get("enqueued", 0))[:MOST_TYPES]
    return answer({**numbers(found), "types": {type: types[type] for type in frequent}})


class Stream(StreamingResponse):
    """Closes what it reads from at once when the client leaves. Where the last frame is on its way at that moment, the
    generator would wait for the garbage collector, and count as a listener until then."""

    def __init__(self, frames: AsyncGenerator[bytes]) -> None:
        super().__init__(frames, media_type="text/event-stream")
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends frames until the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._frames.aclose()


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **READS},
)
async def events(request: Request) -> Response:
    """Server-sent events: `stats` once a second, as /stats without types; `away` while the broker is not there."""
    site = site_of(request)
    site.check_waiting()

    async def frames() -> AsyncGenerator[bytes]:
        with site.waiting():
            async with aclosing(site.feed.frames()) as news:
                async for frame in news:
                    yield frame

    return Stream(frames())
