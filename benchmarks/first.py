"""The first system's own command line, `-tasks 100000 -workers 10`, and its own figures beside ours.

Its figures are those that it published of itself, on a machine of its own: they are no ratio, only a scale.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from benchmarks.figure import Figure, measured, percentile
from benchmarks.host import Room, rate_between, room, until, worker_host
from benchmarks.processes import below, pss_mib
from benchmarks.tasks import nap, noop
from benchmarks.throughput import rates_of_slots

PRODUCERS = 10
SECONDS = 0.1
"""What a task of the second part takes."""
EACH = 50
"""So many of those tasks for each worker: they take 5 s, however many no-op tasks are asked for."""
LOAD = 0.8
"""Part of the slots that is busy while latency is measured: with all of them busy it is the length of the queue."""


def first(tasks: int, workers: int, say: Callable[[str], None]) -> list[Figure]:
    """Enqueues from 10 producers, drains with so many worker processes, then runs a sample of tasks of 100 ms."""
    with room() as place:
        place.app()
        say(f"enqueueing {tasks:,} no-op tasks from {PRODUCERS} producers …")
        enqueued = _enqueue(tasks)
        say(f"draining them with {workers} workers …")
        begun = time.perf_counter()
        with worker_host(place, workers) as host:
            drained = rate_between(lambda: place.counted("completed", "noop"), tasks, begun=begun)
            until(lambda: place.counted("completed", "noop") == tasks, "the last tasks")
            time.sleep(1.0)
            memory = pss_mib(below({host.pid})) / workers
    sample = EACH * workers
    say(f"running {sample:,} tasks of 100 ms, all slots busy …")
    slots = rates_of_slots(workers, 1, SECONDS, sample)
    say(f"running {sample:,} tasks of 100 ms, {LOAD:.0%} of the slots busy …")
    waits = _latencies(workers, sample)
    told = f"{sample:,} tasks, {LOAD:.0%} of the slots busy"
    slowest = f"first system 10; the slowest of {len(slots)} slots, {sample:,} tasks"
    return [
        Figure(f"enqueue, {PRODUCERS} producers", enqueued, "tasks/s", "first system ~30,000", at_least=30_000),
        Figure(f"no-op drain, {workers} workers", drained, "tasks/s"),
        Figure("100 ms tasks, each slot", min(slots), "/s", slowest, at_least=9.5),
        *(
            measured(f"100 ms tasks, call to end, p{part * 100:g}", "ms", [percentile(waits, part)],
                     f"first system < {most}; {told}", at_most=most)
            for part, most in ((0.5, 110), (0.95, 150), (0.99, 200))
        ),
        Figure("memory of each worker", memory, "MiB", "first system ~25", at_most=25),
    ]  # fmt: skip


def _enqueue(number: int) -> float:
    """Calls per second of threads that share one application."""
    each = number // PRODUCERS

    def produce(count: int) -> None:
        for value in range(count):
            noop.delay(value)

    counts = [each + (number - each * PRODUCERS if index == 0 else 0) for index in range(PRODUCERS)]
    threads = [threading.Thread(target=produce, args=(count,)) for count in counts]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return number / (time.perf_counter() - begun)


def _latencies(workers: int, number: int) -> list[float]:
    """Milliseconds from a call to the end of its handler, one call after another in even steps."""
    with room() as place, worker_host(place, workers):
        return _paced(place, number, SECONDS / workers / LOAD)


def _paced(place: Room, number: int, step: float) -> list[float]:
    place.app()
    for handle in nap.delay_many((0.0,) for _ in range(100)):
        handle.get(timeout=10)
    handles, called = [], []
    begun = time.monotonic()
    for turn in range(number):
        time.sleep(max(0.0, begun + turn * step - time.monotonic()))
        called.append(time.monotonic_ns())
        handles.append(nap.delay(SECONDS))
    ended = [handle.get(timeout=60)[2] for handle in handles]
    return [(after - before) / 1e6 for before, after in zip(called, ended, strict=True)]
