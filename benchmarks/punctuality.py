"""When: hand-over, delayed tasks, retries, priorities, a slow neighbour. On an idle machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figure import Figure, percentile
from benchmarks.host import room, worker_host
from benchmarks.tasks import fail, maybe, note, sleep, stamp

DELAYED, SPREAD_S = 1_000, 10.0
FAILING = 20


def hand_over(rounds: int) -> list[Figure]:
    """From `.delay()` to the start of the handler, and to the result, with nothing else to do."""
    with room() as place, worker_host(place, 2):
        place.app()
        for _ in range(20):
            stamp.delay(0).get(timeout=10)
        starts, trips = [], []
        for number in range(200 * rounds):
            enqueued, begun = time.time(), time.perf_counter()
            started = stamp.delay(number).get(timeout=10)
            trips.append((time.perf_counter() - begun) * 1000)
            starts.append((started - enqueued) * 1000)
    return [
        Figure(f"enqueue to start, {name}", percentile(starts, part), "ms")
        for name, part in (("p50", 0.5), ("p99", 0.99))
    ] + [Figure("enqueue to result, p50", percentile(trips, 0.5), "ms")]


def delayed(rounds: int) -> list[Figure]:
    """1,000 tasks spread over 10 s: how late each started."""
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log = Path(folder, "log")
        with worker_host(place, 2, BENCH_LOG=str(log)):
            place.app()
            begin = time.time() + 3.0
            for number in range(DELAYED):
                due = begin + SPREAD_S * number / DELAYED
                note.options(delay=due - time.time()).delay(number, due)
            _until(lambda: place.counted("completed", "note") == DELAYED)
        late = [float(line.split()[1]) for line in log.read_text().splitlines()]
    return [
        Figure("delayed task starts late, p50", percentile(late, 0.5), "ms"),
        Figure("delayed task starts late, p99", percentile(late, 0.99), "ms", at_most=10),
        Figure("delayed task starts early, at most", max(0.0, -min(late)), "ms", at_most=2),
    ]


def retries(rounds: int) -> list[Figure]:
    """How far attempts are from 200, 400 and 800 ms after the one before."""
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log = Path(folder, "log")
        with worker_host(place, 2, BENCH_LOG=str(log)):
            place.app()
            for _ in range(FAILING):
                fail.delay()
            _until(lambda: place.counted("dead", "fail") == FAILING)
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
            enqueued = time.time()
            waits.append((stamp.delay(number).get(timeout=30) - enqueued) * 1000)
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


def _until(condition: Callable[[], bool], within: float = 60.0) -> None:
    give_up = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(0.02)
