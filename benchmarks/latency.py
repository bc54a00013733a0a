"""How soon: from a call to the start of its task and to its result, on an idle host and on a busy one."""

from __future__ import annotations

import statistics
import time

from benchmarks import floor
from benchmarks.figure import Figure, compared, measured, percentile
from benchmarks.host import Room, pauses, room, worker_host
from benchmarks.tasks import noop, stamp
from benchmarks.turns import by_turns
from distq import Handle

CALLS = 200
ROUNDS = 5
"""At least so many: a percentile of one round says little."""
LOW = noop.options(priority="low")
BACKLOG, ENOUGH = 250_000, 100

Times = tuple[list[float], list[float]]
"""Milliseconds to the start, and to the result."""


def hand_over(rounds: int) -> list[Figure]:
    """Nothing else to do, two processes: beside a bare push and a blocking pop, and that there and back."""
    found = by_turns(max(ROUNDS, rounds), {"ours": _ours, "bare": _bare})
    starts, trips = ([times[kind] for times in found["ours"]] for kind in (0, 1))
    bare_starts, bare_trips = ([times[kind] for times in found["bare"]] for kind in (0, 1))
    return [
        compared(
            "call to start, idle, p50", "ms", _part(starts, 0.5), _part(bare_starts, 0.5), "bare hand-over", at_most=1.8
        ),
        measured(
            "call to start, idle, p99", "ms", _part(starts, 0.99),
            f"bare hand-over {statistics.median(_part(bare_starts, 0.99)):.2f}", at_most=2,
        ),
        compared(
            "call to result, idle, p50", "ms", _part(trips, 0.5), _part(bare_trips, 0.5), "bare, there and back",
            at_most=2,
        ),
    ]  # fmt: skip


def _part(rounds: list[list[float]], part: float) -> list[float]:
    return [percentile(times, part) for times in rounds]


def _ours() -> Times:
    with room() as place, worker_host(place, 2):
        place.app()
        for _ in range(20):
            stamp.delay(0).get(timeout=10)
        starts, trips = [], []
        for number, gap in enumerate(pauses(CALLS)):
            time.sleep(gap)
            called = time.monotonic_ns()
            started = stamp.delay(number).get(timeout=10)
            trips.append((time.monotonic_ns() - called) / 1e6)
            starts.append((started - called) / 1e6)
        return starts, trips


def _bare() -> Times:
    with room() as place:
        floor.hand_over(place, [0.0] * 20)
        gaps = pauses(CALLS)
        return floor.hand_over(place, gaps), floor.round_trip(place, gaps)


def loaded(rounds: int) -> list[Figure]:
    """A `high` task while two processes drain no-op tasks of a lower priority."""
    waits = []
    for _ in range(rounds):
        with room() as place:
            place.app()
            LOW.delay_many((number,) for number in range(BACKLOG))
            with worker_host(place, 2):
                waits.append(_while_they_drain(place))
    p50 = statistics.median(_part(waits, 0.5))
    numbers = f"{sum(map(len, waits))} tasks in {len(waits)} rounds, p50 {p50:.1f} ms"
    return [measured("call to start while low waits, p99", "ms", _part(waits, 0.99), numbers, at_most=20)]


def _while_they_drain(place: Room) -> list[float]:
    """Until the backlog is nearly gone."""
    handles: list[Handle[int]] = []
    called: list[int] = []
    gaps = pauses(10_000)
    while place.counted("completed", "noop") < 0.9 * BACKLOG:
        time.sleep(gaps[len(handles)])
        called.append(time.monotonic_ns())
        handles.append(stamp.delay(len(handles)))
    if len(handles) < ENOUGH:
        raise RuntimeError(f"the backlog was gone after {len(handles)} tasks: it should be larger")
    started = [handle.get(timeout=30) for handle in handles]
    return [(after - before) / 1e6 for before, after in zip(called, started, strict=True)]
