"""How much: draining a backlog, and producing one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks import floor
from benchmarks.figure import Figure
from benchmarks.host import Room, rate_between, room, worker_host
from benchmarks.tasks import noop

BACKLOG = 200_000
CALLS = 5_000


def drain(rounds: int) -> list[Figure]:
    """Tasks per second of two worker processes, beside two bare loops."""
    ours, bare = [], []
    for _ in range(rounds):
        with room() as place:
            bare.append(floor.drain(place, BACKLOG, 2))
            place.client.flushall()
            ours.append(_drain_once(place, BACKLOG, 2))
    rate, beside = statistics.median(ours), statistics.median(bare)
    ratio = statistics.median(mine / base for mine, base in zip(ours, bare, strict=True))
    told = f"bare loop {beside:,.0f}/s: {ratio:.2f} ×"
    return [Figure("no-op drain, 2 processes", rate, "tasks/s", told, at_least=60_000)]


def _drain_once(place: Room, number: int, processes: int) -> float:
    place.app()
    noop.delay_many((n,) for n in range(number))
    with worker_host(place, processes):
        return rate_between(lambda: place.counted("completed", "noop"), number)


def produce(rounds: int) -> list[Figure]:
    """`.delay()` beside redis-py's own `rpush`, one at a time, and what the client's processor does for it."""
    with room() as place:
        place.app()
        ways: dict[str, Callable[[], object]] = {
            "delay": lambda: noop.delay(1),
            "rpush": lambda: floor.rpush(place.client),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(max(5, rounds)):
            for name, call in ways.items():
                place.client.flushall()
                call()
                begun, used = time.perf_counter(), time.process_time()
                for _ in range(CALLS):
                    call()
                rates[name].append(CALLS / (time.perf_counter() - begun))
                cpu[name].append((time.process_time() - used) / CALLS * 1e6)
        bulk = _bulk(place, rounds)
    rate, beside = statistics.median(rates["delay"]), statistics.median(rates["rpush"])
    ratio = statistics.median(mine / base for mine, base in zip(rates["delay"], rates["rpush"], strict=True))
    spent = statistics.median(mine / base for mine, base in zip(cpu["delay"], cpu["rpush"], strict=True))
    return [
        Figure(
            ".delay(), one at a time", rate, "calls/s", f"rpush {beside:,.0f}/s: {ratio:.2f} ×", ratio, at_least=1.0
        ),
        Figure(".delay(), client CPU", statistics.median(cpu["delay"]), "µs", f"{spent:.2f} × rpush's"),
        Figure("delay_many", bulk, "calls/s"),
    ]


def _bulk(place: Room, rounds: int) -> float:
    rates = []
    for _ in range(rounds):
        place.client.flushall()
        begun = time.perf_counter()
        noop.delay_many((n,) for n in range(50_000))
        rates.append(50_000 / (time.perf_counter() - begun))
    return statistics.median(rates)
