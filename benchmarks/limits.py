"""Time limits and cancelling: how soon a stubborn handler is gone, its seat used again, a running task told."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.figure import Figure, percentile
from benchmarks.host import room, worker_host
from benchmarks.tasks import KINDS, app, sleep, stamp, stubborn
from distq import TaskCancelled, TaskFailed
from distq.broker import inspect

TIMES, LIMIT_S, CANCELS = 100, 1.0, 300


def time_limit(rounds: int) -> list[Figure]:
    """100 handlers of each kind, two at a time."""
    figures, again = [], list[float]()
    with room() as place, worker_host(place, 2):
        place.app()
        for kind in KINDS:
            with ThreadPoolExecutor(2) as pool:
                gone = list(pool.map(_gone_after, [kind] * TIMES))
            in_time = sum(seconds <= 1.2 for seconds in gone)
            beside = f"{in_time} of {TIMES} by 1.2 s, p50 {percentile(gone, 0.5):.3f} s"
            figures.append(Figure(f"gone at a limit of 1 s, last: {kind}", max(gone), "s", beside, at_most=1.2))
    with room() as place, worker_host(place, 1):
        place.app()
        for _ in range(20):
            handle = stubborn.delay("swallows")
            behind = stamp.delay(0).get(timeout=30) / 1e9
            _await_end(handle.id)
            (record,) = inspect.attempts(app.broker, "default", handle.id)
            again.append((behind - _limit_reached(record)) * 1000)
    figures.append(
        Figure("seat used again after the kill, most", max(again), "ms", "20 times, one process", at_most=100)
    )
    return figures


def _limit_reached(record: dict[str, object]) -> float:
    """When the limit was reached, by the monotonic clock."""
    wall, monotonic = time.time(), time.monotonic()
    return float(str(record["at"])) / 1000 - float(str(record["seconds"])) + LIMIT_S - wall + monotonic


def _gone_after(kind: str) -> float:
    handle = stubborn.delay(kind)
    _await_end(handle.id)
    (record,) = inspect.attempts(app.broker, "default", handle.id)
    return float(record["seconds"])


def _await_end(id: str) -> None:
    try:
        app.result(id).get(timeout=60)
    except TaskFailed:
        return
    raise AssertionError(f"{id} has come to its end")


def cancel(rounds: int) -> list[Figure]:
    """From the call to the caller's knowing that the task has ended."""
    times = []
    with room() as place, worker_host(place, 2):
        place.app()
        for _ in range(CANCELS):
            handle = sleep.delay(60)
            while handle.status() != "running":
                time.sleep(0.001)
            begun = time.perf_counter()
            handle.cancel(running=True)
            try:
                handle.get(timeout=30)
            except TaskCancelled:
                times.append((time.perf_counter() - begun) * 1000)
    p99 = percentile(times, 0.99)
    return [
        Figure(
            "running task cancelled, p99",
            p99,
            "ms",
            f"{len(times)} times, p50 {percentile(times, 0.5):.1f} ms",
            at_most=200,
        )
    ]
