"""Results, which can be waited for."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from distq.errors import ResultNotKept, ResultTimeout, TaskCancelled, TaskError, TaskExpired, TaskFailed, UnknownTask
from distq.message import check_id
from distq.result import Handle
from distq.server.models import ResultDetails
from distq.server.site import READS, Site, answer, problems, site_of, unless_gone

router = APIRouter(prefix="/results", tags=["results"])

MOST_WAIT_S = 60.0


@router.get(
    "/{id:path}", responses={200: {"model": ResultDetails}, 202: {"model": ResultDetails}, **READS, **problems(404)}
)
async def result(
    request: Request,
    id: str,
    wait: float = Query(0.0, ge=0, le=MOST_WAIT_S, description="Seconds to wait for its end."),
) -> Response:
    """How a task ended. 202: it has not, within the time to wait."""
    site = site_of(request)
    handle = site.app.result(check_id(id))
    told = await _ending(site, handle, 0.0)
    if told is None and wait > 0:
        with site.waiting():
            told = await unless_gone(request, _ending(site, handle, wait))
    if told is not None:
        return answer({"id": id, **told})
    return answer({"id": id, "status": await handle.astatus()}, 202)


async def _ending(site: Site, handle: Handle[Any], wait: float) -> dict[str, Any] | None:
    """How it ended; None: it has not, after so many seconds."""
    give_up = time.monotonic() + wait
    try:
        value = await handle.aget(timeout=wait)
    except ResultTimeout:
        return None
    except ResultNotKept:
        return await _ending_without_result(site, handle, give_up)
    except UnknownTask:
        raise
    except TaskError as error:
        return _failure(site, error)
    return {"status": "completed", "result": site.shown(value), "is_kept": True}


async def _ending_without_result(site: Site, handle: Handle[Any], give_up: float) -> dict[str, Any] | None:
    """The same for a task that keeps none: its handle would not wait."""
    while True:
        status = await handle.astatus()
        if status in ("completed", "cancelled", "expired", "dead"):
            return {"status": status, "is_kept": False}
        left = give_up - time.monotonic()
        if left <= 0:
            return None
        await site.app.async_broker.wait_result(str(handle.queue), handle.id, left)


def _failure(site: Site, error: TaskError) -> dict[str, Any]:
    match error:
        case TaskFailed():
            told = {"type": error.type, "message": error.message, "traceback": error.traceback}
            return {"status": "dead", "error": site.shown(told)}
        case TaskCancelled():
            return {"status": "cancelled"}
        case TaskExpired():
            return {"status": "expired"}
    return {"status": "unknown"}
