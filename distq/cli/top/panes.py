"""The four tables: what their columns are called, hold, and are sorted by. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from distq.cli.top.numbers import Story

MANY, LARGE = 100_000, 10_000_000
"""From here on numbers are shown in thousands, and in millions."""


class Column(NamedTuple):
    """One of a table."""

    title: str
    field: str
    """Of the row: what is sorted by it, and shown."""
    shown: Callable[[Any], str] = str
    is_number: bool = True
    from_width: int = 0
    """A narrower table leaves it out."""
    style: str = ""
    """Of what is not 0."""
    ratio: int = 1
    """Of texts: how they share the room that numbers leave."""


class Pane(NamedTuple):
    """One table."""

    name: str
    columns: Sequence[Column]
    rows: Callable[[Story], Sequence[Any]]
    sorted_by: str
    """The field, at first."""
    empty: str
    key: Callable[[Any], str]
    """What a row is called, wherever it stands."""


def count(number: float) -> str:
    """A number that fits into a column."""
    if number >= LARGE:
        return f"{number / 1e6:,.1f}M"
    return f"{number / 1000:,.0f}k" if number >= MANY else f"{number:,.0f}"


def rate(per_second: float) -> str:
    """The same for what happens per second."""
    return f"{per_second:.1f}" if 0.05 <= per_second < 9.95 else count(per_second)


def age(seconds: float) -> str:
    """A time in a column: `0.4s`, `12s`, `3m`, `5h`, `2d`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s" if seconds > 0 else "–"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def took(seconds: float) -> str:
    """How long something ran: `3ms`, `0.4s`, `12s`."""
    if 0 < seconds < 0.1:
        return f"{seconds * 1000:.0f}ms" if seconds >= 0.001 else "<1ms"
    return age(seconds)


QUEUES = Pane(
    "queues",
    (
        Column("queue", "name", is_number=False),
        Column("high", "high", count, style="bold"),
        Column("default", "default", count, style="bold"),
        Column("low", "low", count, style="bold"),
        Column("later", "scheduled", count, from_width=70),
        Column("runs", "running", count, from_width=50, style="green"),
        Column("dead", "dead", count, style="red"),
        Column("in/s", "came", rate, from_width=70),
        Column("out/s", "ended", rate, from_width=50),
        Column("oldest", "oldest_s", age, style="yellow"),
    ),
    Story.queues,
    "name",
    "no queue yet",
    lambda row: str(row.name),
)
TYPES = Pane(
    "types",
    (
        Column("type", "name", is_number=False),
        Column("in/s", "came", rate, from_width=50),
        Column("done/s", "completed", rate, style="green"),
        Column("retry/s", "retried", rate, from_width=70, style="yellow"),
        Column("dead/s", "died", rate, style="red"),
        Column("alive", "alive", count, from_width=50, style="bold"),
        Column("p50", "p50_s", took, from_width=70),
        Column("p95", "p95_s", took),
        Column("p99", "p99_s", took, from_width=70),
        Column("done", "total", count, from_width=90),
        Column("died", "dead", count, from_width=90, style="red"),
    ),
    Story.types,
    "completed",
    "no task yet",
    lambda row: str(row.name),
)
WORKERS = Pane(
    "workers",
    (
        Column("worker", "name", is_number=False, from_width=60, ratio=2),
        Column("host", "host", is_number=False, from_width=130),
        Column("release", "release", is_number=False, from_width=110),
        Column("has", "number", count, style="bold"),
        Column("of types", "types", is_number=False, ratio=2),
        Column("longest", "first", is_number=False, from_width=70, ratio=2),
        Column("lease", "lease_left_s", age),
    ),
    Story.workers,
    "number",
    "no worker: distq run MODULE:APP",
    lambda row: str(row.name),
)
DEAD = Pane(
    "dead",
    (
        Column("type", "type", is_number=False),
        Column("error", "error", is_number=False),
        Column("number", "number", count, style="red"),
        Column("newest", "newest_s", age, from_width=50),
        Column("raised in", "frame", is_number=False, from_width=100, ratio=2),
        Column("message of that", "message", is_number=False, from_width=50, ratio=3),
    ),
    Story.causes,
    "number",
    "nothing has died",
    lambda row: f"{row.type} {row.error} {row.frame}",
)
PANES = (QUEUES, TYPES, WORKERS, DEAD)


def in_order(rows: Sequence[Any], field: str, is_reversed: bool) -> list[Any]:
    """Text from A to Z, numbers from the largest on; or the other way round."""
    found = sorted(rows, key=lambda row: str(row[0]))
    is_text = bool(rows) and isinstance(getattr(rows[0], field), str)
    return sorted(found, key=lambda row: getattr(row, field), reverse=is_reversed == is_text)
