"""Schedules: look, create, change, pause, trigger, delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StrictStr
from starlette.responses import Response

from distq.periodic import MAX_NAME as MAX_SCHEDULE
from distq.schedules import Schedule
from distq.server.calls import Duration, Priority, Type, token_of
from distq.server.models import Created, ScheduleDetails, Schedules
from distq.server.site import (
    READS,
    WRITES,
    Site,
    Strict,
    accepts,
    answer,
    body_of,
    may_enqueue,
    needs,
    problems,
    site_of,
)

router = APIRouter(prefix="/schedules", tags=["schedules"])

When = Annotated[StrictStr, Field(min_length=1, max_length=200, examples=["@every 5m", "0 7 * * mon-fri"])]


class Rhythm(Strict):
    """When it ticks, and what it calls."""

    tz: Annotated[StrictStr, Field(max_length=64, examples=["Europe/Berlin"])] | None = None
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    jitter: Duration | None = None
    overlap: Literal["queue", "skip", "replace"] | None = None
    missed: Literal["once", "skip", "all"] | None = None

    def said(self) -> dict[str, Any]:
        """What is given, as `app.schedules` takes it."""
        own = {name: getattr(self, name) for name in self.model_fields_set - {"name", "type"}}
        return {name: value for name, value in own.items() if value is not None}


class NewSchedule(Rhythm):
    """A schedule that outlives all programs."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=MAX_SCHEDULE)]
    when: When
    type: Type
    queue: Annotated[StrictStr, Field(max_length=64)] | None = None
    priority: Priority | None = None


class Changes(Rhythm):
    """What is to be changed; one of the code stays changed until it is reset."""

    when: When | None = None


@router.get("", responses={200: {"model": Schedules}, **READS})
def every(request: Request) -> Response:
    """All schedules with their next five ticks: those of the code, and those that were created."""
    site = site_of(request)
    return answer({"schedules": [_told(site, one) for one in site.app.schedules.list()]})


@router.get("/{name:path}", responses={200: {"model": ScheduleDetails}, **READS, **problems(404)})
def one(request: Request, name: str) -> Response:
    """A schedule, with its last 20 ticks."""
    site = site_of(request)
    found, ticks = site.app.schedules.get(name), site.app.schedules.history(name)
    return answer({**_told(site, found), "history": site.shown([tick._asdict() for tick in ticks])})


@router.post(
    "",
    status_code=201,
    responses={201: {"model": ScheduleDetails}, **WRITES},
    openapi_extra=accepts(NewSchedule),
)
def create(request: Request) -> Response:
    """Makes a schedule."""
    site, said = site_of(request), body_of(request, NewSchedule)
    site.check_type(said.type)
    options = said.said()
    return answer(_told(site, site.app.schedules.create(said.name, options.pop("when"), said.type, **options)), 201)


@router.patch(
    "/{name:path}",
    responses={200: {"model": ScheduleDetails}, **WRITES, **problems(404)},
    openapi_extra=accepts(Changes),
)
def edit(request: Request, name: str) -> Response:
    """Changes what is given."""
    site, said = site_of(request), body_of(request, Changes)
    return answer(_told(site, site.app.schedules.edit(name, **said.said())))


@router.post("/{name:path}/pause", responses={200: {"model": ScheduleDetails}, **WRITES, **problems(404)})
def pause(request: Request, name: str) -> Response:
    """It does not tick until it is resumed."""
    site = site_of(request)
    return answer(_told(site, site.app.schedules.pause(name)))


@router.post("/{name:path}/resume", responses={200: {"model": ScheduleDetails}, **WRITES, **problems(404)})
def resume(request: Request, name: str) -> Response:
    """It goes on with its next tick."""
    site = site_of(request)
    return answer(_told(site, site.app.schedules.resume(name)))


@router.post("/{name:path}/reset", responses={200: {"model": ScheduleDetails}, **WRITES, **problems(404)})
def reset(request: Request, name: str) -> Response:
    """What the code says holds again."""
    site = site_of(request)
    return answer(_told(site, site.app.schedules.reset(name)))


@router.post("/{name:path}/trigger", responses={200: {"model": Created}, **WRITES, **problems(404, 429)})
def trigger(request: Request, name: str) -> Response:
    """Enqueues its task now, once for each Idempotency-Key. The next tick stays what it is."""
    site = site_of(request)
    may_enqueue(request, 1)
    handle = site.app.schedules.trigger(name, id=token_of(request) or None)
    return answer({"id": handle.id, "queue": handle.queue, "created": True})


@router.delete("/{name:path}", status_code=204, responses={**WRITES, **problems(404)})
def delete(request: Request, name: str) -> Response:
    """Deletes one that was created, or whose code is gone. Needs a key of level admin."""
    needs(request, "admin")
    site_of(request).app.schedules.delete(name)
    return Response(status_code=204)


def _told(site: Site, schedule: Schedule) -> dict[str, Any]:
    told: dict[str, Any] = site.shown_call({**asdict(schedule), "state": schedule.state})
    return told
