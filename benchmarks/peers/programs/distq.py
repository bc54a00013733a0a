"""distq, as it comes: results stored, metrics and retries on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.peers.programs.record import ran, started
from distq import Distq

app = Distq("bench")  # the broker is $DISTQ_BROKER


@app.task(type="noop")
def noop(number: int) -> int:
    """Nothing, with a stored result."""
    ran()
    return number


@app.task(type="sleep")
def sleep(number: int) -> int:
    """10 ms of waiting."""
    time.sleep(0.01)
    ran()
    return number


@app.task(type="stamp")
def stamp(number: int) -> int:
    """Says when it started."""
    started(number)
    return number


TASKS: dict[str, Any] = {"noop": noop, "sleep": sleep, "stamp": stamp}


def enqueue(task: str, number: int) -> Any:
    """One call."""
    return TASKS[task].delay(number)


def bulk(task: str, numbers: Iterable[int]) -> None:
    """Many at once."""
    TASKS[task].delay_many((number,) for number in numbers)


def value(handle: Any) -> Any:
    """Its result."""
    return handle.get(timeout=30)
