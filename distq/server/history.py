"""What happened lately, for charts; and forgetting what is kept of completed tasks."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from distq.broker import completed
from distq.facts import every_place
from distq.history import History, lately
from distq.message import untyped
from distq.run_times import RunTimes
from distq.server.models import Forgotten
from distq.server.site import READS, WRITES, answer, needs, site_of

router = APIRouter(prefix="/history", tags=["stats"])

MOST_TYPES = 100


class Times(BaseModel):
    """How long attempts took, in seconds; null: there were none. Percentiles are as exact as the buckets of
    `distributedq_task_duration_seconds`."""

    attempts: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class TimesOfType(Times):
    """Those of a type, and how they ended."""

    type: str
    success: int
    retry: int
    failed: int


class HistorySlot(Times):
    """What happened in a part of the time, which lasted so many `seconds`; the last one is not over yet."""

    at_ms: int
    seconds: float
    enqueued: int
    completed: int
    retried: int
    dead: int
    cancelled: int
    expired: int


class HistoryDetails(Times):
    """One range: in all, by slot, and by type, the 100 most frequent ones. `totals`: by event."""

    range: str
    now_ms: int
    totals: dict[str, int]
    slots: list[HistorySlot]
    types: list[TimesOfType]


@router.get("", responses={200: {"model": HistoryDetails}, **READS})
def history(request: Request, range: Literal["5m", "1h", "24h", "7d"] = "1h") -> Response:
    """What happened in the last five minutes, hour, day or week; it outlives all but the broker.

    Hosts tell how long attempts took every ten seconds.
    """
    return answer(_told(lately(site_of(request).app, range)))


@router.delete("/{type:path}", responses={200: {"model": Forgotten}, **WRITES})
def forget(request: Request, type: str) -> Response:
    """Deletes what is kept of the completed tasks of a type for its `history=`. Needs a key of level admin."""
    needs(request, "admin")
    broker, number = site_of(request).app.broker, 0
    for queue in every_place(site_of(request).app):
        for one in completed.types(broker, queue):
            if untyped(one)[0] == type:
                number += broker.run(completed.forget(broker.prefix(queue), one))
    return answer({"number": number})


def _told(found: History) -> dict[str, Any]:
    types = list(found.types.items())[:MOST_TYPES]
    return {
        "range": found.range,
        "now_ms": found.now_ms,
        "totals": found.events,
        **_times(found.runs),
        "slots": [
            {"at_ms": slot.at_ms, "seconds": slot.seconds, **slot.events, **_times(slot.runs)} for slot in found.slots
        ],
        "types": [{"type": type, **_statuses(times), **_times(times)} for type, times in types],
    }


def _statuses(times: RunTimes) -> dict[str, int]:
    success, retry, failed = times.statuses
    return {"success": success, "retry": retry, "failed": failed}


def _times(times: RunTimes) -> dict[str, Any]:
    seconds = {
        "mean": times.mean_s,
        "p50": times.quantile(0.5),
        "p95": times.quantile(0.95),
        "p99": times.quantile(0.99),
    }
    return {"attempts": times.number} | {name: s if s is None else round(s, 6) for name, s in seconds.items()}
