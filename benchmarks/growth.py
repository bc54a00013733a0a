"""What the work costs when there is much of it: draining with few, many and very many tasks waiting."""

from __future__ import annotations

import statistics
import time

from benchmarks.figure import Figure, compared, measured
from benchmarks.host import rate_between, room, until, worker_host
from benchmarks.tasks import noop
from benchmarks.turns import by_turns

FEW, MANY, VERY_MANY = 1_000, 100_000, 1_000_000
FIRST, LAST = 20_000, 90_000
"""The rate is that between these two tasks, however many wait behind them."""


def growth(rounds: int) -> list[Figure]:
    """Tasks per second of two processes with so many waiting."""
    rates = by_turns(
        rounds, {"few": _few, "many": lambda: _drain(MANY), "very many": lambda: _drain(VERY_MANY)}
    )  # fmt: skip
    many, very_many = rates["many"], rates["very many"]
    return [
        measured("drain with 1,000 waiting", "tasks/s", rates["few"], "the whole of it, with the time to wake up"),
        measured("drain with 100,000 waiting", "tasks/s", many),
        compared("drain with 1,000,000 waiting", "tasks/s", very_many, many, "with 100,000", at_least=0.9),
    ]


def _drain(waiting: int) -> float:
    with room() as place:
        place.app()
        noop.delay_many((number,) for number in range(waiting))
        with worker_host(place, 2):
            return rate_between(lambda: place.counted("completed", "noop"), MANY, FIRST / MANY, LAST / MANY)


def _few() -> float:
    """So few are done too soon to be counted on the way: from the first that is called to the last that is done."""
    rates = []
    with room() as place, worker_host(place, 2):
        place.app()
        for turn in range(1, 11):
            calls = [(number,) for number in range(FEW)]
            begun = time.perf_counter()
            noop.delay_many(calls)
            wanted = turn * FEW
            until(lambda wanted=wanted: place.counted("completed", "noop") >= wanted, "1,000 tasks", pause=0.0005)  # type: ignore[misc]
            rates.append(FEW / (time.perf_counter() - begun))
    return statistics.median(rates[1:])
