"""What the first page of the dashboard shows beside the numbers: one look at the broker."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from distq.broker import search
from distq.facts import every_place
from distq.overview import overview as look
from distq.server import dead, switches, workers
from distq.server.models import DeadGroup, FoundTask, HostDetails, PauseDetails
from distq.server.search import told
from distq.server.site import READS, Site, answer, site_of

router = APIRouter(prefix="/overview", tags=["dashboard"])

MOST_RUNNING = 100
MOST_DEAD = 500
"""So many of the newest are grouped."""
MOST_GROUPS = 8
MOST_SCHEDULES = 8


class Due(BaseModel):
    """A schedule that ticks soon."""

    name: str
    type: str
    when: str
    next: str


class Overview(BaseModel):
    """What is there now; `oldest`: by queue, when the call was made that is next and has waited longest."""

    at_ms: int
    hosts: list[HostDetails]
    running: list[FoundTask]
    groups: list[DeadGroup]
    groups_complete: bool
    schedules: list[Due]
    pauses: list[PauseDetails]
    oldest: dict[str, int]


@router.get("", responses={200: {"model": Overview}, **READS})
def overview(request: Request) -> Response:
    """Hosts and what they run, what died of what, what is due next, what is paused, and how old what waits is."""
    site = site_of(request)
    now = look(site.app)
    groups, is_complete = dead.grouped(site, None, MOST_DEAD)
    found = {
        "at_ms": round(time.time() * 1000),
        "hosts": [workers.described(host) for host in now.hosts],
        "running": _running(site),
        "groups": groups[:MOST_GROUPS],
        "groups_complete": is_complete,
        "schedules": _due(site),
        "pauses": [switches.described(pause) for pause in now.pauses],
        "oldest": now.oldest,
    }
    return answer(found)


def _running(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for queue in every_place(site.app):
        for place in search.places(site.app.broker, queue, ["running"]):
            _, tasks = search.page(site.app.broker, queue, place, 0, MOST_RUNNING - len(found))
            found += [told(site, queue, task) for _, task in tasks]
        if len(found) >= MOST_RUNNING:
            break
    return found


def _due(site: Site) -> list[dict[str, Any]]:
    """The schedules that tick next."""
    active = sorted((one for one in site.app.schedules.list() if one.next), key=lambda one: one.next[0])
    return [
        {"name": one.name, "type": one.type, "when": one.when, "next": one.next[0].isoformat()}
        for one in active[:MOST_SCHEDULES]
    ]
