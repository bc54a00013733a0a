"""Evidence of what ran, written by the tasks themselves to a local file: never to the broker that is being tested."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distq import current
from distq.context import Context

PLACE = "DISTQ_TEST_JOURNAL"
"""Environment variable with the file's path."""


class Line(NamedTuple):
    """One event of one attempt. `at` is the machine's monotonic clock in seconds, the same for all its processes."""

    id: str
    attempt: int
    delivery: int
    fence: int
    pid: int
    event: str
    at: float
    label: str


def write(event: str, label: str = "", context: Context | None = None) -> None:
    """Called in a handler. One append of one line: whole, or not there. `context`: of one item of a batch."""
    context = context or current()
    line = (
        f"{context.id} {context.attempt} {context.delivery} {context.fence} {os.getpid()} {event} "
        f"{time.clock_gettime_ns(time.CLOCK_MONOTONIC)} {label}\n"
    )
    number = os.open(os.environ[PLACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(number, line.encode())
    finally:
        os.close(number)


@contextmanager
def running(label: str = "", context: Context | None = None) -> Iterator[None]:
    """START before, END after, also when it raises."""
    write("START", label, context)
    try:
        yield
    finally:
        write("END", label, context)


class Journal:
    """The file, for the test that reads it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def lines(self, event: str | None = None, id: str | None = None, label: str | None = None) -> list[Line]:
        """What was written so far, in that order; only of this event, id or label if given."""
        try:
            text = self.place.read_text()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]  # a reader can see half of what is just being written
        found = [_parse(line) for line in whole.splitlines()]
        return [
            line
            for line in found
            if (event is None or line.event == event)
            and (id is None or line.id == id)
            and (label is None or line.label == label)
        ]

    def starts(self, id: str | None = None, label: str | None = None) -> list[Line]:
        """The begun attempts."""
        return self.lines("START", id, label)

    def ends(self, id: str | None = None, label: str | None = None) -> list[Line]:
        """The ended attempts."""
        return self.lines("END", id, label)


def _parse(line: str) -> Line:
    id, attempt, delivery, fence, pid, event, at, label = line.split(" ", 7)
    return Line(id, int(attempt), int(delivery), int(fence), int(pid), event, int(at) / 1e9, label)
