"""Numbers: the ledger and the depths, when somebody asks, and once a second for whoever listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

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


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **READS},
)
async def events(request: Request) -> Response:
    """Server-sent events: `stats` once a second, as /stats without types; `away` while the broker is not there."""
    site = site_of(request)
    site.check_waiting()

    async def frames() -> AsyncIterator[bytes]:
        with site.waiting():
            async with aclosing(site.feed.frames()) as news:
                async for frame in news:
                    yield frame

    return StreamingResponse(frames(), media_type="text/event-stream")
