"""Dead letters: what died of what, one by one, run again, deleted. Each request reads and changes a bounded number."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StrictBool, StrictStr
from starlette.responses import Response

from distq.broker import inspect
from distq.broker.inspect import DeadFilter, DeadLetter, Means
from distq.durations import seconds
from distq.facts import dead_by_id, dead_groups, every_place, newest_first, purge_dead, replay_dead
from distq.message import MAX_ID, MAX_NAME
from distq.rate import Rate
from distq.server.calls import Duration
from distq.server.meant import MOST_ARGUMENTS, Arguments, Error, Frame, OlderThan, Parent, Since, Type, sought
from distq.server.models import DeadGroups, DeadLetters, Replayed
from distq.server.problems import Problem
from distq.server.search import MOST_READ, PAGE, Cursor, Limit, decode, encode
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

router = APIRouter(prefix="/dead", tags=["dead letters"])

MOST_AT_ONCE = 10_000
MOST_GROUPS = 200
MOST_IDS = 1000

Queue = Query("", max_length=70)


def dead_filter(
    type: str = Type, error: str = Error, frame: str = Frame, since: str = Since, older_than: str = OlderThan
) -> DeadFilter:
    """That of a request."""
    return DeadFilter(
        frozenset(), type, error, seconds(older_than, "older_than") if older_than else 0.0,
        seconds(since, "since") if since else 0.0, frame,
    )  # fmt: skip


def means_of(request: Request, args: list[str] = Arguments, parent: str = Parent) -> Means | None:
    """What it means by arguments and parent."""
    return sought(site_of(request), args, parent) or None


@router.get("", responses={200: {"model": DeadLetters}, **READS})
def every(
    request: Request,
    wanted: Annotated[DeadFilter, Depends(dead_filter)],
    means: Annotated[Means | None, Depends(means_of)],
    queue: str = Queue,
    limit: int = Limit,
    cursor: str = Cursor,
) -> Response:
    """Dead letters, queue by queue, in each the newest first. With a `next` there may be more."""
    site = site_of(request)
    names = every_place(site.app, queue or None)
    first, position = decode(cursor, str, int) if cursor else (names[0], 0)
    if first not in names:
        raise Problem(400, "the cursor is of another search", field="cursor")
    found: list[dict[str, Any]] = []
    now_ms, read = time.time() * 1000, 0
    for name in names[names.index(first) :]:
        while True:
            if len(found) >= limit or read >= MOST_READ:
                return answer({"dead": found, "next": encode([name, position])})
            number, letters = inspect.dead_page(site.app.broker, name, position, min(PAGE, limit - len(found)), means)
            if not number:
                break
            found += [_told(site, letter) for letter in letters if wanted.matches(letter, now_ms)]
            position, read = position + number, read + number
        position = 0
    return answer({"dead": found, "next": None})


@router.get("/groups", responses={200: {"model": DeadGroups}, **READS})
def groups(request: Request, queue: str = Queue) -> Response:
    """Of what they died: by type, class of the error and where it was raised, the largest group first. `complete` is
    false when there are more dead letters than the 10,000 newest, which were counted."""
    found, is_complete = grouped(site_of(request), queue or None)
    return answer({"groups": found, "complete": is_complete})


def grouped(site: Site, queue: str | None, most: int = MOST_AT_ONCE) -> tuple[list[dict[str, Any]], bool]:
    """The same as data, of so many of the newest."""
    groups, is_complete = dead_groups(site.app, most, queue)
    told = [
        {
            "type": group.newest.type, "error": group.newest.error, "frame": group.newest.frame,
            "number": group.number, "newest_at_ms": group.newest.died_at_ms, "newest_id": group.newest.id,
            "newest_message": site.shown(group.newest.message), "oldest_at_ms": group.oldest_at_ms,
        }
        for group in groups[:MOST_GROUPS]
    ]  # fmt: skip
    return told, is_complete


# -- doing something about them ----------------------------------------------------------------------------------------


class Chosen(Strict):
    """Which: by ids, or all that fit the other conditions, or `all`. At most 10,000 in one request."""

    ids: Annotated[list[Annotated[StrictStr, Field(max_length=MAX_ID)]], Field(max_length=MOST_IDS)] | None = None
    type: Annotated[StrictStr, Field(min_length=1, max_length=MAX_NAME)] | None = None
    error: Annotated[StrictStr, Field(min_length=1, max_length=200)] | None = None
    frame: Annotated[StrictStr, Field(min_length=1, max_length=400)] | None = None
    args: Annotated[list[Annotated[StrictStr, Field(max_length=1000)]], Field(max_length=MOST_ARGUMENTS)] | None = None
    """Arguments, each as name:value."""
    parent: Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID)] | None = None
    since: Duration | None = None
    older_than: Duration | None = None
    queue: Annotated[StrictStr, Field(min_length=1, max_length=70)] | None = None
    all: StrictBool = False
    dry_run: StrictBool = False


class Replay(Chosen):
    """The same; `rate`: they become ready one after the other, such as 10/s."""

    rate: Annotated[StrictStr, Field(max_length=40, examples=["10/s"])] | None = None


@router.post("/replay", responses={200: {"model": Replayed}, **WRITES, **problems(429)}, openapi_extra=accepts(Replay))
def replay(request: Request) -> Response:
    """Runs dead tasks again, with a fresh budget of attempts."""
    site, said = site_of(request), body_of(request, Replay)
    every_ms = 0.0 if said.rate is None else Rate.parse(said.rate).interval_us / 1000
    letters, is_all = _choose(site, said)
    if not said.dry_run:
        may_enqueue(request, len(letters))
    number = len(letters) if said.dry_run else replay_dead(site.app, letters, every_ms)
    return answer({"number": number, "dry_run": said.dry_run, "complete": is_all})


@router.post("/purge", responses={200: {"model": Replayed}, **WRITES}, openapi_extra=accepts(Chosen))
def purge(request: Request) -> Response:
    """Deletes dead tasks for good. Needs a key of level admin."""
    needs(request, "admin")
    site, said = site_of(request), body_of(request, Chosen)
    letters, is_all = _choose(site, said)
    number = len(letters) if said.dry_run else purge_dead(site.app, letters)
    return answer({"number": number, "dry_run": said.dry_run, "complete": is_all})


def _choose(site: Site, said: Chosen) -> tuple[list[DeadLetter], bool]:
    """Those that are meant, and whether these are all. It never means everything by accident."""
    older_s = 0.0 if said.older_than is None else seconds(said.older_than, "older_than")
    since_s = 0.0 if said.since is None else seconds(said.since, "since")
    wanted = DeadFilter(
        frozenset(said.ids or ()), said.type or "", said.error or "", older_s, since_s, said.frame or ""
    )
    means = sought(site, said.args or [], said.parent or "") or None
    is_narrow = said.ids is not None or said.queue is not None or means is not None or not wanted.is_empty
    if is_narrow == said.all:
        why = "all means all: leave it, or the conditions, out" if said.all else "give ids, conditions, or all: true"
        raise Problem(400, why, field="all")
    if said.ids is not None and means is not None:
        raise Problem(400, "give ids, or args and parent", field="args" if said.args else "parent")
    if said.ids is not None:
        by_id = {(letter.queue, letter.id): letter for id in said.ids for letter in dead_by_id(site.app, id)}
        now_ms = time.time() * 1000
        return [letter for letter in by_id.values() if wanted.matches(letter, now_ms)], True
    letters = list(islice(newest_first(site.app, wanted, said.queue, means), MOST_AT_ONCE + 1))
    return letters[:MOST_AT_ONCE], len(letters) <= MOST_AT_ONCE


def _told(site: Site, letter: DeadLetter) -> dict[str, Any]:
    return {**asdict(letter), "message": site.shown(letter.message)}
