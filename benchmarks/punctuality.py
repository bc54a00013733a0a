"""When: delayed tasks, retries, priorities, a slow neighbour. On an idle machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, measured, percentile
from benchmarks.host import room, until, worker_host
from benchmarks.tasks import fail, maybe, noop, note, sleep, stamp
from benchmarks.turns import by_turns

DELAYED, SPREAD_S = 1_000, 10.0
PENDING, FAR_S = 100_000, 3600.0
FAILING = 20


def delayed(rounds: int) -> list[Figure]:
    """1,000 tasks spread over 10 s: how late each started, while many others are due later, and with no others."""
    late = by_turns(rounds, {"crowd": lambda: _lateness(PENDING), "alone": lambda: _lateness(0)})
    p50, p99 = ([percentile(times, part) for times in late["crowd"]] for part in (0.5, 0.99))
    alone = f"with no others {statistics.median(percentile(times, 0.99) for times in late['alone']):.1f}"
    crowd = f"delayed task starts late, {PENDING:,} others pending"
    return [
        measured(f"{crowd}, p50", "ms", p50),
        measured(f"{crowd}, p99", "ms", p99, alone, at_most=10),
        Figure("delayed task starts early, at most", max(0.0, -min(map(min, late["crowd"]))), "ms", at_most=2),
    ]


def _lateness(pending: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log = Path(folder, "log")
        with worker_host(place, 2, BENCH_LOG=str(log)):
            place.app()
            noop.options(delay=FAR_S).delay_many((number,) for number in range(pending))
            begin = time.time() + 3.0
            for number in range(DELAYED):
                due = begin + SPREAD_S * number / DELAYED
                note.options(delay=due - time.time()).delay(number, due)
            until(lambda: place.counted("completed", "note") == DELAYED, "all delayed tasks")
        return [float(line.split()[1]) for line in log.read_text().splitlines()]


def retries(rounds: int) -> list[Figure]:
    """How far attempts are from 200, 400 and 800 ms after the one before."""
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log = Path(folder, "log")
        with worker_host(place, 2, BENCH_LOG=str(log)):
            place.app()
            for _ in range(FAILING):
                fail.delay()
            until(lambda: place.counted("dead", "fail") == FAILING, "the last attempts")
        times: dict[str, list[float]] = {}
        for line in log.read_text().splitlines():
            id, _, at = line.split()
            times.setdefault(id, []).append(float(at))
    off = [
        abs((after - before) * 1000 - wanted)
        for attempts in times.values()
        for before, after, wanted in zip(attempts[:-1], attempts[1:], (200, 400, 800), strict=True)
    ]
    return [Figure("retry is off 200/400/800 ms, most", max(off), "ms", f"{len(off)} retries", at_most=20)]


def priority(rounds: int) -> list[Figure]:
    """A `high` task while 1,000 `low` ones of 10 ms wait."""
    waits = []
    with room() as place, worker_host(place, 2):
        place.app()
        sleep.options(priority="low").delay_many((0.01,) for _ in range(1_000))
        for number in range(50):
            called = time.monotonic_ns()
            waits.append((stamp.delay(number).get(timeout=30) - called) / 1e6)
            time.sleep(0.03)
        assert place.counted("completed", "sleep") < 1_000, "the low ones were over too soon"
    return [
        Figure(
            "high starts while low waits, most",
            max(waits),
            "ms",
            f"50 times, p50 {percentile(waits, 0.5):.1f} ms",
            at_most=40,
        )
    ]


def neighbours(rounds: int) -> list[Figure]:
    """A slow task in the middle of a batch: when the others' results are there."""
    waits = []
    with room() as place, worker_host(place, 2):
        place.app()
        for _ in range(rounds):
            for handle in maybe.delay_many((0.0,) for _ in range(2_000)):
                last = handle
            last.get(timeout=30)
            handles = maybe.delay_many((2.0 if n == 60 else 0.0,) for n in range(120))
            begun = time.perf_counter()
            for n, handle in enumerate(handles):
                if n != 60:
                    handle.get(timeout=30)
            waits.append((time.perf_counter() - begun) * 1000)
            assert handles[60].status() == "running"
            handles[60].get(timeout=30)
    return [Figure("119 neighbours of a 2 s task are done", statistics.median(waits), "ms", at_most=100)]
