"""While work goes on: a rolling restart, and processes that are replaced because handlers leak."""

from __future__ import annotations

import signal
import statistics
import time
from itertools import pairwise

from benchmarks.figure import Figure, measured
from benchmarks.host import room, until, worker_host
from benchmarks.processes import below, pss_mib
from benchmarks.tasks import leak, sleep

PROCESSES, THREADS, SLEEP_S = 4, 4, 0.02
WINDOW_S, RESTARTS = 0.25, 5
SOAK, LEAK_BYTES, LIMIT = 1_000_000, 2_048, "100M"
CHUNK = 50_000


def rolling(rounds: int) -> list[Figure]:
    """Tasks that wait, while fresh code is loaded again and again: the slowest quarter of a second."""
    lowest = [_lowest() for _ in range(rounds)]
    what = f"a rolling restart, {PROCESSES} processes: slowest quarter of a second beside the median before"
    told = f"{RESTARTS} restarts in a row, wanted (N - 1) / N"
    return [Figure(what, statistics.median(lowest), "×", told, at_least=(PROCESSES - 1) / PROCESSES)]


def _lowest() -> float:
    with room() as place, worker_host(place, PROCESSES, THREADS) as host:
        place.app()
        seconds = 2.0 + RESTARTS
        sleep.delay_many([(SLEEP_S,)] * int(1.2 * seconds * PROCESSES * THREADS / SLEEP_S))
        until(lambda: place.counted("completed", "sleep") > 200, "it works")
        seen, begun, sent = [], time.perf_counter(), 0
        while time.perf_counter() < begun + seconds:
            seen.append((time.perf_counter(), place.counted("completed", "sleep")))
            if sent < RESTARTS and seen[-1][0] > begun + 2.0 + sent:
                host.send_signal(signal.SIGHUP)
                sent += 1
            time.sleep(WINDOW_S - (time.perf_counter() - begun) % WINDOW_S)
    rates = [(b - a) / (later - at) for (at, a), (later, b) in pairwise(seen)]
    before = int(2.0 / WINDOW_S)
    return min(rates[before:]) / statistics.median(rates[:before])


def soak(rounds: int) -> list[Figure]:
    """A million tasks that leak two kilobytes each: the memory of the host."""
    most, done = [], 0
    with room() as place, worker_host(place, 2, DISTQ_MAX_MEMORY_PER_CHILD=LIMIT) as host:
        place.app()
        while done < SOAK:
            leak.delay_many([(LEAK_BYTES,)] * CHUNK)
            done += CHUNK
            while place.counted("completed", "leak") < done - CHUNK // 2:
                most.append(pss_mib(below({host.pid})))
                time.sleep(0.1)
        until(lambda: place.counted("completed", "leak") == SOAK, "all", 120)
    told = f"{SOAK:,} tasks that leak {SOAK * LEAK_BYTES >> 20:,} MiB; a process may have {LIMIT}"
    return [
        Figure("memory of a host whose handlers leak, at most", max(most), "MiB", told, at_most=500),
        measured("memory of a host whose handlers leak", "MiB", most),
    ]
