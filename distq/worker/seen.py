"""What a supervisor reads off the status board about single tasks."""

from __future__ import annotations

from typing import NamedTuple


class Ran(NamedTuple):
    """What one thread of a child ran when it died."""

    seat: int
    entry: bytes
    since_ns: int
    """By the monotonic clock."""
    queue: int
    log: bytes
    """The last lines that it had logged."""
    in_batch: int = 1
    """So many ran in one call of their handler."""


class Report(NamedTuple):
    """How far a task is."""

    worker: str
    queue: int
    entry: bytes
    raw: bytes
