"""Looking for tasks, a page at a time. A page reads a bounded number of entries."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from distq.broker import search
from distq.broker.inspect import describe
from distq.errors import UnknownQueue
from distq.facts import every_place
from distq.message import Message
from distq.server.meant import Meant, meant
from distq.server.models import FoundTasks
from distq.server.problems import Problem
from distq.server.site import READS, Site, answer, site_of
from distq.server.strict import parse

router = APIRouter(prefix="/tasks", tags=["tasks"])

MOST_READ = 2000
MOST_BODY = 4096
"""Larger calls are not shown in lists."""
MOST_CALL = 200
PAGE = 200

State = Literal["running", "queued", "scheduled", "dead", "completed"]
Limit = Query(50, ge=1, le=PAGE, description="At most so many in this page.")
Cursor = Query("", max_length=2000, description="`next` of the page before.")


@router.get("", responses={200: {"model": FoundTasks}, **READS})
def find(
    request: Request,
    wanted: Annotated[Meant, Depends(meant)],
    state: State | None = None,
    queue: str = Query("", max_length=70),
    limit: int = Limit,
    cursor: str = Cursor,
) -> Response:
    """Tasks by state (running, queued, scheduled, dead, completed), type, queue, last error, age and arguments.

    While workers work, tasks move: a page may show one twice, or miss one. With a `next` there may be more, also when
    this page is empty; `read` says how many it has looked at. Completed ones are listed as `history=` of their type
    says; of others the last 100 of each queue, without their arguments.
    """
    site = site_of(request)
    found: list[dict[str, Any]] = []
    read = 0
    for place, begin in _places(site, state, queue, cursor):
        if not wanted.may_be_in(place[1]):
            continue
        position = begin
        while True:
            if len(found) >= limit or read >= MOST_READ:
                return answer({"tasks": found, "next": encode([place[0], *place[1], position]), "read": read})
            with_causes = wanted.needs_causes or search.STATES[place[1].state] == "dead"
            number, tasks = search.page(site.app.broker, *place, position, PAGE, with_causes)
            for offset, task in tasks:
                if wanted(task):
                    if len(found) >= limit:
                        cursor = encode([place[0], *place[1], position + offset])
                        return answer({"tasks": found, "next": cursor, "read": read + offset})
                    found.append(told(site, place[0], task))
            position, read = position + number, read + number
            if number < PAGE:
                break
    return answer({"tasks": found, "next": None, "read": read})


def _places(site: Site, state: State | None, queue: str, cursor: str) -> Iterator[tuple[tuple[str, search.Place], int]]:
    """Each place with the position to begin at, from where the cursor points to."""
    try:
        names = every_place(site.app, queue or None)
    except UnknownQueue as error:
        raise Problem(400, str(error), field="queue") from None
    begin = decode(cursor, str, int, int, str, str, int) if cursor else None
    if begin is not None and begin[0] not in names:
        raise Problem(400, "the cursor is of another search", field="cursor")
    for name in names[names.index(begin[0]) if begin else 0 :]:
        for place in search.places(site.app.broker, name, [state] if state else search.STATES):
            before = tuple(begin[1:5]) if begin is not None and begin[0] == name else ()
            if tuple(place) >= before:
                yield (name, place), begin[5] if begin is not None and tuple(place) == before else 0


_TIMES = {"scheduled": "due_at_ms", "dead": "died_at_ms", "completed": "finished_at_ms"}


def told(site: Site, queue: str, task: search.Found) -> dict[str, Any]:
    """A found task for a list."""
    facts: dict[str, Any] = {"id": task.id, "state": task.state, "queue": queue}
    if task.message is not None:
        facts |= describe(task.message) | _call(site, task.message)
    elif task.type:
        facts["type"] = task.type
    if task.at_ms is not None:
        facts[_TIMES[task.state]] = task.at_ms
    if task.ran_s is not None:
        facts["ran_s"] = task.ran_s
    if task.cause is not None and task.cause.error:
        facts |= {"error": task.cause.error, "message": site.shown(task.cause.message), "frame": task.cause.frame}
    return facts | ({"worker": task.worker} if task.worker else {})


def _call(site: Site, message: Message) -> dict[str, str]:
    """Its arguments in one line for people, with the names that its function has for them."""
    if len(message.body) > MOST_BODY:
        return {"call": f"{len(message.body):,} bytes"}
    try:
        args, kwargs, headers = site.app.codec.unpack_call(message.body)
    except ValueError:
        return {}
    shown = site.shown_call({"type": message.type, "args": args, "kwargs": kwargs, "headers": headers})
    named = [*zip(site.names_of(message.type, len(args)), shown["args"], strict=False), *shown["kwargs"].items()]
    said = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in named)
    return {"call": said if len(said) <= MOST_CALL else f"{said[:MOST_CALL]}…"}


# -- cursors -----------------------------------------------------------------------------------------------------------


def encode(values: list[Any]) -> str:
    """A cursor: whoever gets it sends it back as it is."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> list[Any]:
    """What is in a cursor. Raises Problem (400) for what no answer has given."""
    try:
        values = parse(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, Problem):
        values = None
    if not isinstance(values, list) or [value.__class__ for value in values] != list(kinds):
        raise Problem(400, "this is no cursor: send `next` of the page before", field="cursor")
    if any(isinstance(value, int) and not 0 <= value < 1 << 40 for value in values):
        raise Problem(400, "this is no cursor: send `next` of the page before", field="cursor")
    return values
