"""The kinds of strays: what no script leaves behind, what it costs, and what `distq audit --repair` does about it.

`strays.lua` has a check of each kind under the same name, and what mends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Stray(NamedTuple):
    """Something that no script leaves so."""

    kind: str
    """A key of KINDS."""
    name: str
    """An entry, id, worker, lane or key."""
    where: str = ""


class Kind(NamedTuple):
    """What is wrong with strays of a kind."""

    one: str
    many: str
    cost: str
    mend: str
    """What --repair does; empty: nothing."""
    searches: bool = False
    """To look at one takes a look through lists."""


_MARKER = Kind(
    "marker does not say what is ready",
    "markers do not say what is ready",
    "idle workers sleep until the next call or renewal",
    "sets it right",
)

KINDS: Mapping[str, Kind] = {
    "lost": Kind(
        "task is alive, but in no list",
        "tasks are alive, but in no list",
        "workers put them back within a few leases",
        "queues them again, delayed ones without their delay",
        searches=True,
    ),
    "twice": Kind("task is in two places", "tasks are in two places", "they may run twice", "leaves them in one", True),
    "over": Kind(
        "entry is in a list, but its task is over",
        "entries are in lists, but their tasks are over",
        "they count as waiting or running",
        "removes them",
        searches=True,
    ),
    "ghost": Kind("ghost is in no list", "ghosts are in no list", "depths are too low", "removes them", searches=True),
    "generation": Kind(
        "id stands for a task that is over",
        "ids stand for tasks that are over",
        "calls with these ids are refused as duplicates",
        "frees them",
    ),
    "nameless": Kind(
        "task cannot be found by its id",
        "tasks cannot be found by their ids",
        "an id may live twice",
        "makes them known again",
    ),
    "name": Kind(
        "name is of a task that is over",
        "names are of tasks that are over",
        "nothing: the next call with it takes it",
        "removes them",
    ),
    "deadline": Kind(
        "deadline is of a task that is over",
        "deadlines are of tasks that are over",
        "nothing: they vanish at their time",
        "removes them",
    ),
    "orphan": Kind(
        "worker holds tasks without a lease",
        "workers hold tasks without a lease",
        "nobody takes back what they hold",
        "takes it back, or gives a worker that still has its name a lease",
    ),
    "lane": Kind(
        "lane is not known as it is",
        "lanes are not known as they are",
        "what is in them is not handed out",
        "makes them known, or forgets empty ones",
    ),
    "shelf": Kind(
        "shelf of results is not known",
        "shelves of results are not known",
        "results on them are not found",
        "makes them known",
    ),
    "letter": Kind(
        "dead letter lacks its message or time",
        "dead letters lack their message or time",
        "they cannot be replayed, or never become too old",
        "removes those, or dates them now",
    ),
    "lasting": Kind(
        "key has no TTL, and should", "keys have no TTL, and should", "they stay for ever", "lets them end in 30 days"
    ),
    "unknown": Kind("key is none of distq's", "keys are none of distq's", "nothing, but somebody writes here", ""),
    "kind": Kind(
        "key has a wrong type", "keys have a wrong type", "scripts fail at them: delete or rename them by hand", ""
    ),
    "schedule": Kind(
        "schedule does not wait for its tick",
        "schedules do not wait for their ticks",
        "they do not tick, or are not shown",
        "lets them wait, or forgets what is no schedule",
    ),
    "wake": _MARKER,
    "wake_alone": _MARKER,
    "wake_group": _MARKER,
    "armed": Kind(
        "future time is known to nobody",
        "future times are known to nobody",
        "delayed tasks are late by up to 5 minutes",
        "tells the keeper",
    ),
}

MOMENTARY = ("wake", "wake_alone", "wake_group", "armed", "orphan")
"""May be so for a moment, such as when a worker has just taken a marker, or renews."""
