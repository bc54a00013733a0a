"""Queues: how many tasks are where; cancelling what waits."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from distq.broker import inspect
from distq.errors import UnknownQueue
from distq.facts import depths, places
from distq.server.models import Changed, Depths, Purged, Queues
from distq.server.problems import Problem
from distq.server.site import READS, WRITES, Site, Strict, accepts, answer, body_of, needs, problems, site_of
from distq.server.switches import Reason, who

router = APIRouter(prefix="/queues", tags=["queues"])

Place = Literal["high", "default", "low", "scheduled"]
PLACES: tuple[Place, ...] = ("high", "default", "low", "scheduled")


@router.get("", responses={200: {"model": Queues}, **READS})
def every(request: Request) -> Response:
    """The depths of all queues."""
    site = site_of(request)
    return answer({"queues": [_told(site, queue, names) for queue, names in places(site.app).items()]})


@router.get("/{queue:path}", responses={200: {"model": Depths}, **READS, **problems(404)})
def one(request: Request, queue: str) -> Response:
    """The depths of one queue, or of a partition: `bulk/3`."""
    site = site_of(request)
    return answer(_told(site, queue, _places(site, queue)))


class Purge(Strict):
    """What to cancel: one place, or all; `dry_run` only counts."""

    place: Place | None = None
    dry_run: bool = False


@router.post(
    "/{queue:path}/purge",
    responses={200: {"model": Purged}, **WRITES, **problems(404)},
    openapi_extra=accepts(Purge, required=False),
)
def purge(request: Request, queue: str) -> Response:
    """Cancels what waits in a queue. What runs is left alone. Needs a key of level admin."""
    needs(request, "admin")
    site, said = site_of(request), body_of(request, Purge)
    levels = (said.place,) if said.place else PLACES
    names = _places(site, queue)
    if said.dry_run:
        found = depths(site.app, names)
        return answer({"number": sum(getattr(found, level) for level in levels), "dry_run": True})
    taken = sum(inspect.purge(site.app.broker, name, level, who(request)) for level in levels for name in names)
    return answer({"number": taken, "dry_run": False})


class Why(Strict):
    """Why it is paused, for those who find it so."""

    reason: Reason | None = None


@router.post(
    "/{queue:path}/pause",
    responses={200: {"model": Changed}, **WRITES, **problems(404)},
    openapi_extra=accepts(Why, required=False),
)
def pause(request: Request, queue: str) -> Response:
    """Hands out nothing more of a queue, with all its partitions, until it is resumed. What runs goes on."""
    site, said = site_of(request), body_of(request, Why)
    _places(site, queue)
    return answer({"changed": site.app.pause(queue=queue, by=who(request), reason=said.reason)})


@router.post("/{queue:path}/resume", responses={200: {"model": Changed}, **WRITES, **problems(404)})
def resume(request: Request, queue: str) -> Response:
    """Ends its pause."""
    site = site_of(request)
    _places(site, queue)
    return answer({"changed": site.app.resume(queue=queue)})


def _told(site: Site, queue: str, names: list[str]) -> dict[str, Any]:
    return {"queue": queue, **depths(site.app, names)._asdict()}


def _places(site: Site, queue: str) -> list[str]:
    try:
        (names,) = places(site.app, queue).values()
    except UnknownQueue as error:
        raise Problem(404, str(error)) from None
    return names
