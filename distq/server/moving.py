"""Tasks that wait are given another time or priority; and what is done with all that a filter means."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field, StrictBool, StrictStr
from starlette.responses import Response

from distq.broker import moves
from distq.changing import arun, check_queue, steps
from distq.filters import MOST, Filter
from distq.moving import Act, Sweep, cancelling, moving, rescheduling
from distq.server.calls import Duration, Priority, moment, token_of
from distq.server.models import Rescheduled, Swept
from distq.server.search import decode, encode
from distq.server.site import WRITES, Site, Strict, accepts, answer, body_of, needs, problems, site_of
from distq.server.switches import who
from distq.server.tasks import find, unknown

MOST_LOOKED = 10_000

router = APIRouter(prefix="/tasks", tags=["tasks"])


class NewPlace(Strict):
    """What is to change: the time (`delay` 0: now), the priority, the queue. What is left out stays as it is."""

    delay: Duration | None = None
    eta: Annotated[StrictStr, Field(max_length=40, description="ISO 8601, with a zone.")] | None = None
    priority: Priority | None = None
    queue: Annotated[StrictStr, Field(min_length=1, max_length=64)] | None = None

    def said(self) -> dict[str, Any]:
        """As `Handle.reschedule` takes it."""
        eta = None if self.eta is None else moment("eta", self.eta)
        return {"delay": self.delay, "eta": eta, "priority": self.priority, "queue": self.queue}


@router.post(
    "/{id:path}/reschedule",
    responses={200: {"model": Rescheduled}, **WRITES, **problems(404, 409)},
    openapi_extra=accepts(NewPlace),
)
async def reschedule(request: Request, id: str) -> Response:
    """Gives a task that waits another time, priority or queue; all else of it stays. 409: it runs, or has ended."""
    site, wanted = site_of(request), body_of(request, NewPlace)
    queue, look = await find(site, id)
    if look.state == "unknown":
        raise unknown(id)
    broker, change = site.app.async_broker, moves.change(**wanted.said())
    if wanted.queue is not None:
        check_queue(site.app, wanted.queue, await broker.known_queues())
        await broker.open(wanted.queue)
    [word] = await arun(broker.run, steps(broker.prefix, queue, [id], wanted.queue, change, token_of(request)))
    moves.check(id, word)
    handle = site.app.result(id)
    return answer({"id": id, "status": await handle.astatus(), "queue": wanted.queue or queue})


# -- all that a filter means -------------------------------------------------------------------------------------------


class Which(Strict):
    """Which live tasks: a filter, as `distq tasks` takes it. At most some 10,000 are looked at in one request: with a
    `next` in the answer there may be more, for the same request with that `cursor`."""

    filter: Annotated[StrictStr, Field(max_length=MOST, examples=["type:email error:timeout older:1h"])]
    dry_run: StrictBool = False
    cursor: Annotated[StrictStr, Field(max_length=2000)] = ""


class WhichToCancel(Which):
    """The same; `running`: also those that run, their handlers are told."""

    running: StrictBool = False


class WhichToReschedule(NewPlace, Which):
    """The same, and what is to change."""


@router.post("/cancel", responses={200: {"model": Swept}, **WRITES}, openapi_extra=accepts(WhichToCancel))
def cancel_all(request: Request) -> Response:
    """Cancels all waiting tasks that a filter means. Needs a key of level admin."""
    needs(request, "admin")
    site, said = site_of(request), body_of(request, WhichToCancel)
    act = cancelling(site.app, who(request), "running" if said.running else "")
    return _sweep(site, said, act, said.running)


@router.post("/reschedule", responses={200: {"model": Swept}, **WRITES}, openapi_extra=accepts(WhichToReschedule))
def reschedule_all(request: Request) -> Response:
    """Gives all waiting tasks that a filter means another time, priority or queue."""
    site, said = site_of(request), body_of(request, WhichToReschedule)
    change = moves.change(**said.said())
    act = rescheduling(site.app, change) if said.queue is None else moving(site.app, said.queue, change)
    return _sweep(site, said, act)


def _sweep(site: Site, said: Which, act: Act, takes_running: bool = False) -> Response:
    start = decode(said.cursor, str, str) if said.cursor else None
    wanted = Filter.parse(said.filter)
    act_on = None if said.dry_run else act
    place = (start[0], start[1]) if start else None
    sweep = Sweep(site.app, wanted, act_on, takes_running, place, site.shown_call)
    for _ in sweep:
        if sweep.looked >= MOST_LOOKED:
            break
    told = {
        "number": sweep.number, "dry_run": said.dry_run, "left": sweep.left,
        "examples": [site.shown(hit._asdict()) for hit in sweep.samples] if said.dry_run else [],
        "next": encode(list(sweep.position)) if sweep.position else None,
    }  # fmt: skip
    return answer(told)
