"""The model of `simulation.py` beside reality: what things cost is measured in a few short runs; others are foretold
from that, and measured. What it says of plants that nobody has at hand is worth as much as that agrees.

Where other programs use the machine's processors, what they took is taken off before a run is foretold.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from benchmarks import sizing
from benchmarks.figure import Figure
from benchmarks.host import Room, rate_between, room, worker_host
from benchmarks.machine import describe, idle_s
from benchmarks.processes import below, cpu_seconds
from benchmarks.simulation import Costs, Plant, simulate
from benchmarks.tasks import noop, sleep
from tests.support.room import Room as Queue
from tests.support.room import completed

BACKLOG, CALLS = 100_000, 5_000
SHORT_S, THREADS = 0.005, 32
SLEEPS = 6_000
STEPS, STEPS_MADE = (8, 128), 400
"""Sizes of steps that are timed, and how many of each."""
FORETOLD_S = 1.0


class Spent(NamedTuple):
    """While something was done, in seconds."""

    broker_s: float
    """Processor time."""
    workers_s: float
    wall_s: float


@dataclass
class Meter:
    """What broker and workers spend."""

    place: Room
    roots: set[int]

    def read(self) -> Spent:
        """So far."""
        info: Any = self.place.client.info("cpu")
        main = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
        cpu = sum(info[name] for name in main) if main[0] in info else info["used_cpu_user"] + info["used_cpu_sys"]
        return Spent(cpu, cpu_seconds(below(self.roots)) if self.roots else 0.0, time.perf_counter())

    @contextmanager
    def measured(self, found: list[Spent]) -> Iterator[None]:
        """What a piece of work takes."""
        before = self.read()
        yield
        after = self.read()
        found.append(
            Spent(
                after.broker_s - before.broker_s, after.workers_s - before.workers_s, after.wall_s - before.wall_s
            )
        )  # fmt: skip


def costs() -> Costs:
    """What each thing costs on this machine."""
    found: list[Spent] = []
    with room() as place:
        place.app()
        meter, mine = Meter(place, set()), time.process_time()
        with meter.measured(found):
            for number in range(CALLS):
                noop.delay(number)
        client = (time.process_time() - mine) / CALLS
        place.client.flushall()
        with meter.measured(found):
            noop.options().delay_many(_numbered(BACKLOG))
    call, bulk = found[0].broker_s / CALLS, found[1].broker_s / BACKLOG
    small, large = (_stepped(size) for size in STEPS)
    each = (large - small) / (STEPS[1] - STEPS[0])
    step = max(0.0, small - each * STEPS[0])
    work = _worked(1, "noop", _numbered(BACKLOG))
    thread = _worked(THREADS, "sleep", [(SHORT_S,)] * SLEEPS)
    trip = max(1e-6, found[0].wall_s / CALLS - client - call)
    return Costs(call, bulk, step, each, work, thread, client, trip)


def _stepped(size: int) -> float:
    """The broker's time for a step that settles so many tasks and hands out as many, one step after the other."""
    found: list[Spent] = []
    with room() as place:
        place.app()
        noop.options().delay_many((number,) for number in range(size * (STEPS_MADE + 2)))
        mine = Queue(place.url, "bench")
        worker = mine.register(["noop"])
        entries = mine.step(worker, size).entries
        with Meter(place, set()).measured(found):
            for _ in range(STEPS_MADE):
                entries = mine.step(worker, size, [completed(entry.decode()) for entry in entries]).entries
        mine.close()
    return found[0].broker_s / STEPS_MADE


def _worked(threads: int, type: str, calls: list[tuple[float]]) -> float:
    """The processor time of one process for each task of a backlog."""
    task: Any = {"noop": noop, "sleep": sleep}[type]
    found, total = list[Spent](), len(calls)
    with room() as place:
        place.app()
        task.options().delay_many(calls)
        with worker_host(place, 1, threads) as host:
            _until(place, type, total // 10)
            begun = place.counted("completed", type)
            with Meter(place, {host.pid}).measured(found):
                _until(place, type, total * 9 // 10)
            return found[0].workers_s / (place.counted("completed", type) - begun)


def _numbered(total: int) -> list[tuple[float]]:
    return [(number,) for number in range(total)]


def _until(place: Room, type: str, number: int) -> None:
    while place.counted("completed", type) < number:
        time.sleep(0.01)


# -- foretold, and measured ------------------------------------------------------------------------------------------


def _drained(threads: int, type: str, calls: list[tuple[float]]) -> float:
    """Tasks per second of two processes."""
    task: Any = {"noop": noop, "sleep": sleep}[type]
    with room() as place:
        place.app()
        task.options().delay_many(calls)
        with worker_host(place, 2, threads):
            return rate_between(lambda: place.counted("completed", type), len(calls))


def _called() -> float:
    """Calls per second of a program that calls one by one, while two processes run them."""
    with room() as place:
        place.app()
        with worker_host(place, 2):
            over, number = time.perf_counter() + FORETOLD_S, 0
            while time.perf_counter() < over:
                noop.delay(1)
                number += 1
    return number / FORETOLD_S


def _beside_others(measure: Callable[[], float], cores: int) -> tuple[float, float]:
    """What is measured, and how many of the processors other programs kept busy meanwhile."""

    def ours() -> float:
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    begun, idle, mine = time.perf_counter(), idle_s(), ours()
    value = measure()
    seconds = time.perf_counter() - begun
    return value, max(0.0, (seconds * cores - (idle_s() - idle) - (ours() - mine)) / seconds)


def foretell(plant: Plant, here: Costs, others: float) -> float:
    """Tasks per second, if other programs keep so many processors busy. Who needs little gets that from them."""
    alone = simulate(plant, here, FORETOLD_S)
    assert plant.cores is not None
    if alone.cores + others <= plant.cores:
        return alone.per_s
    return simulate(replace(plant, speed=max(0.1, 1 - others / plant.cores)), here, FORETOLD_S).per_s


def simulated(rounds: int) -> list[Figure]:
    """Costs, then what they foretell beside what is measured, then plants of which there is only the model."""
    known = [costs() for _ in range(rounds)]
    here = Costs(*(statistics.median(some) for some in zip(*known, strict=True)))
    cores = int(describe()["cores"])
    figures = [
        Figure(f"cost: {name}", seconds * 1e6, "µs", samples=tuple(one[number] * 1e6 for one in known))
        for number, (name, seconds) in enumerate(here._asdict().items())
    ]
    waiting = Plant(threads=16, cores=cores)
    trials: list[tuple[str, Plant, Callable[[], float]]] = [
        ("2 processes drain no-ops", Plant(cores=cores), lambda: _drained(1, "noop", _numbered(2 * BACKLOG))),
        (
            "2 × 16 threads wait 10 ms", replace(waiting, wait_s=0.01),
            lambda: _drained(16, "sleep", [(0.01,)] * SLEEPS),
        ),
        (
            "2 × 16 threads wait 1 ms", replace(waiting, wait_s=0.001),
            lambda: _drained(16, "sleep", [(0.001,)] * (5 * SLEEPS)),
        ),
        ("one caller beside 2 processes", Plant(callers=1, cores=cores), _called),
    ]  # fmt: skip
    for what, plant, measure in trials:
        real = [_beside_others(measure, cores) for _ in range(rounds)]
        foretold = [foretell(plant, here, others) for _, others in real]
        ratio = statistics.median(mine / rate for mine, (rate, _) in zip(foretold, real, strict=True))
        said = f"measured {statistics.median(rate for rate, _ in real):,.0f}: {ratio:.2f} ×"
        figures.append(
            Figure(
                f"simulated: {what}", statistics.median(foretold), "tasks/s", said, samples=tuple(foretold),
                bare=tuple(rate for rate, _ in real), bare_name="measured",
            )
        )  # fmt: skip
    return figures + sizing.figures(here)
