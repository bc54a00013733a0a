"""What a schedule may be: options of `@app.periodic` and of schedules made at run time, checked at the earliest moment,
and the form in which they are kept. It sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from distq.broker import verbs
from distq.broker.schedules import Definition
from distq.cron import timing
from distq.durations import Duration, seconds
from distq.errors import ConfigurationError, did_you_mean
from distq.names import check_names
from distq.options import Priority
from distq.sender import Sender

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Overlap = Literal["queue", "skip", "replace"]
Missed = Literal["once", "skip", "all"]
OVERLAPS, MISSED = ("queue", "skip", "replace"), ("once", "skip", "all")
MAX_JITTER_S = 86_400
MAX_NAME = 200
_NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,%d}\Z" % MAX_NAME)


class TickOptions(TypedDict, total=False):
    """What all schedules have."""

    tz: str | ZoneInfo
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    jitter: Duration
    overlap: Overlap
    missed: Missed


class ScheduleOptions(TickOptions, total=False):
    """Options of `@app.periodic(when, ...)`."""

    name: str


class CreateOptions(TickOptions, total=False):
    """Options of `app.schedules.create(name, when, task, ...)`."""

    queue: str
    priority: Priority


class EditOptions(TypedDict, total=False):
    """What `app.schedules.edit(name, ...)` can change."""

    when: str
    tz: str | ZoneInfo | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    jitter: Duration
    overlap: Overlap
    missed: Missed


class Rhythm(NamedTuple):
    """When it ticks, and what becomes of that."""

    when: str
    tz: str
    jitter: int
    """Milliseconds."""
    overlap: str
    missed: str


class Said(NamedTuple):
    """A schedule as somebody has said it, checked."""

    task: Any
    rhythm: Rhythm
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def check_name(name: object) -> str:
    """The name of a schedule, if it can be one."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"name={name!r:.80} cannot be a schedule's: use 1 to {MAX_NAME} of A-Z a-z 0-9 _ . : / @ -"
        )
    return name


def without_tick(data: bytes) -> bytes:
    """A packed message whose last header is the tick, up to that: a float in eight bytes."""
    if data[-9:] != b"\xcb" + bytes(8):
        raise ConfigurationError("a middleware or codec changes the headers of a schedule: `tick` must be the last one")
    return data[:-8]


def whole(sent: bytes) -> bytes:
    """What `without_tick` gave, as a whole message again."""
    return bytes(16) + sent + bytes(8)


def check_options(when: str, said: Mapping[str, Any]) -> None:
    """Raises ConfigurationError for what `@app.periodic` cannot take."""
    check_names(said, ScheduleOptions.__annotations__, "@app.periodic")
    check_rhythm(when, said)


def check_rhythm(when: str, said: Mapping[str, Any]) -> Rhythm:
    """When, zone, jitter (ms), overlap and missed, checked."""
    given = said.get("tz")
    tz = given if isinstance(given, str) else getattr(given, "key", given)  # of a ZoneInfo
    if tz is not None and not isinstance(tz, str):
        raise ConfigurationError(f'tz={given!r:.80}: give a name such as "Europe/Berlin"')
    timing(when, tz or "")
    jitter = seconds(said.get("jitter", 0), "jitter")
    if jitter > MAX_JITTER_S:
        raise ConfigurationError(f"jitter={said['jitter']!r:.80}: give at most a day")
    overlap = _one_of("overlap", said.get("overlap", OVERLAPS[0]), OVERLAPS)
    missed = _one_of("missed", said.get("missed", MISSED[0]), MISSED)
    return Rhythm(when.strip(), tz or "", round(jitter * 1000), overlap, missed)


def _one_of(what: str, value: object, known: Sequence[str]) -> str:
    if value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigurationError(f"{what}={value!r:.80} is none of {', '.join(known)}{hint}")
    return str(value)


def check_arguments(args: object, kwargs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Those of a call, if they can be."""
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise ConfigurationError(f"args={args!r:.80}: give a tuple or list of the positional arguments")
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise ConfigurationError(f"kwargs={kwargs!r:.80}: give a mapping of the keyword arguments")
    return tuple(args), dict(kwargs)


def define(name: str, sender: Sender[Any, Any], said: Said) -> tuple[str, Definition]:
    """The queue of a schedule, and what is kept of it: the message is packed now, and sent with each tick."""
    call, data = sender.prepared(said.args, said.kwargs, {"schedule": name, "tick": 0.0})
    options = verbs.enqueue_options(call.options)
    return call.queue, Definition(*said.rhythm, call.type, options, without_tick(data))
