"""Looking for tasks by state, type and queue, a page at a time. A page reads a bounded number of entries."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from distq.broker import search
from distq.broker.inspect import describe
from distq.errors import UnknownQueue
from distq.facts import every_place
from distq.message import MAX_NAME, Message, untyped
from distq.server.models import FoundTasks
from distq.server.problems import Problem
from distq.server.site import READS, Site, answer, site_of
from distq.server.strict import parse

router = APIRouter(prefix="/tasks", tags=["tasks"])

MOST_READ = 2000
PAGE = 200

State = Literal["running", "queued", "scheduled", "dead", "completed"]
Limit = Query(50, ge=1, le=PAGE, description="At most so many in this page.")
Arguments = Query([], max_length=10, description="Arguments, each as name:value, such as user_id:42.")
Cursor = Query("", max_length=2000, description="`next` of the page before.")


@router.get("", responses={200: {"model": FoundTasks}, **READS})
def find(
    request: Request,
    state: State | None = None,
    type: str = Query("", max_length=MAX_NAME),
    queue: str = Query("", max_length=70),
    args: list[str] = Arguments,
    limit: int = Limit,
    cursor: str = Cursor,
) -> Response:
    """Tasks by state (running, queued, scheduled, dead, the last 100 completed), type, queue and arguments.

    While workers work, tasks move: a page may show one twice, or miss one. With a `next` there may be more, also when
    this page is empty; `read` says how many it has looked at. What is completed has no type any more.
    """
    site = site_of(request)
    is_meant = Meant(site, type, args)
    found: list[dict[str, Any]] = []
    read = 0
    for place, begin in _places(site, state, queue, cursor):
        position = begin
        while True:
            if len(found) >= limit or read >= MOST_READ:
                return answer({"tasks": found, "next": encode([place[0], *place[1], position]), "read": read})
            number, tasks = search.page(site.app.broker, place[0], place[1], position, PAGE)
            for offset, task in tasks:
                if is_meant(task):
                    if len(found) >= limit:
                        cursor = encode([place[0], *place[1], position + offset])
                        return answer({"tasks": found, "next": cursor, "read": read + offset})
                    found.append(told(place[0], task))
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


class Meant:
    """Which tasks a search means: by type, and by arguments such as `user_id:42`, by their names in the call or, where
    the application declares the type, in its function. Values are compared as they are shown, as JSON or as text: what
    is hidden cannot be guessed."""

    def __init__(self, site: Site, type: str, args: list[str]) -> None:
        self._site, self._type = site, type
        self._wanted = [_named(one) for one in args]

    def __call__(self, task: search.Found) -> bool:
        """Whether this is one."""
        if not self._type and not self._wanted:
            return True
        if task.message is None:
            return False
        type = untyped(task.message.type)[0]
        return (not self._type or type == self._type) and (not self._wanted or self._has(type, task.message))

    def _has(self, type: str, message: Message) -> bool:
        try:
            args, kwargs, _ = self._site.app.codec.unpack_call(message.body)
        except ValueError:
            return False
        task = self._site.app.tasks.get(type)
        names = list(task.signature.parameters) if task is not None else []
        shown = self._site.shown_call({"type": message.type, "args": args, "kwargs": kwargs})
        values = dict(zip(names, shown["args"], strict=False)) | shown["kwargs"]
        return all(name in values and _text(values[name]) == said for name, said in self._wanted)


def _named(said: str) -> tuple[str, str]:
    name, colon, value = said.partition(":")
    if not name or not colon:
        raise Problem(400, "give arguments as name:value, such as user_id:42", field="args")
    return name, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def told(queue: str, task: search.Found) -> dict[str, Any]:
    """A found task for a list."""
    facts: dict[str, Any] = {"id": task.id, "state": task.state, "queue": queue}
    if task.message is not None:
        facts |= describe(task.message)
    if task.at_ms is not None:
        facts["due_at_ms" if task.state == "scheduled" else "died_at_ms"] = task.at_ms
    return facts | ({"worker": task.worker} if task.worker else {})


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
