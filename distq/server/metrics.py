"""What worker hosts tell of queues as well, for when none is there: metrics, and how many hosts there should be. At the
same paths, without the prefix of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from distq.broker.backlog import AT_ONCE, Backlog, backlogs, by_queue, together
from distq.broker.together import of_all
from distq.demand import Pace, mean_s, reckon
from distq.demand import within as seconds_of
from distq.exposition import CONTENT_TYPE, of_queues
from distq.facts import every_place
from distq.history import History, lately
from distq.server.site import READS, answer, site_of

if TYPE_CHECKING:
    from distq.app import Distq

router = APIRouter(tags=["stats"])

LATELY_S = 300
MOST_SLOTS = 10_000


class DemandDetails(BaseModel):
    """How many worker hosts of so many slots there should be, so that what could run does `within_s`, and that they
    keep up with what comes. Durations are those that all hosts have told in the last day."""

    wanted_workers: int
    wanted_slots: int
    slots_per_worker: int
    within_s: float
    backlog: int
    running: int
    service_time_s: float | None
    arrivals_per_s: float | None


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **READS},
)
def metrics(request: Request) -> Response:
    """What the broker tells of all queues, for Prometheus."""
    app = site_of(request).app
    return Response("".join(of_queues(_queues(app), app.tasks)), media_type=CONTENT_TYPE)


@router.get("/scale", responses={200: {"model": DemandDetails}, **READS})
def scale(request: Request, slots: Annotated[int, Query(ge=1, le=MOST_SLOTS)] = 1, within: str = "30s") -> Response:
    """How many worker hosts of so many slots there should be, for autoscalers: also to get from none to one."""
    app = site_of(request).app
    within_s = seconds_of(within)
    found = together(list(_queues(app).values()))
    now = lately(app, "5m" if within_s <= LATELY_S else "1h")
    runs = lately(app, "24h").types
    pace = Pace(runs, mean_s(now.types or runs), arrivals_per_s=_arrivals(now, within_s))
    work = {type: number for type, number in found.work.items() if type in app.tasks}
    return answer(reckon(found, work, pace, slots, within_s)._asdict())


def _queues(app: Distq) -> dict[str, Backlog]:
    names = every_place(app)
    return by_queue(names, of_all(app.broker, names, backlogs, AT_ONCE))


def _arrivals(now: History, within_s: float) -> float:
    """Attempts that ended per second, in the slots that reach back so far: not calls, for those may be for later. What
    has come on top of these waits, and counts as that."""
    came, span_s = 0, 0.0
    for slot in reversed(now.slots):
        came += sum(slot.events[name] for name in ("completed", "dead", "retried"))
        span_s += slot.seconds
        if span_s >= within_s:
            break
    return came / span_s if span_s else 0.0
