"""A small model of producers, broker nodes and workers: how much, how busy, how late. It measures nothing: what each
thing costs is given (`Costs`), and what stands in line for what follows from that.

    a node       runs one script at a time; of a cluster each has cores of its own, here on one machine all share them
    a worker     fetches a batch, runs it, and asks for the next one in the middle of it
    a producer   calls in bulk or one by one, at random moments
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.events import Act, Clock, Compute, Cores, Line, Pause, Script, Signal, Story, tell

MOST, PACE_S, AHEAD_PART = 128, 0.010, 4
"""A worker fetches so many at most, and what it expects to start within this time."""
MOST_BULK, BULK_S = 1000, 0.05
"""Bulk calls have what has come up in this time, at most so many tasks."""
WARM = 0.2
"""This part of the time is not counted."""


class Costs(NamedTuple):
    """Seconds of a processor, unless it says something else."""

    call: float
    """The broker's, of a call that is made alone."""
    bulk: float
    """The broker's, of each task in a bulk call."""
    step: float
    """The broker's, of a fetch, whatever is in it."""
    each: float
    """The broker's, of each task in a fetch: handed over, settled, its result kept."""
    work: float
    """The worker's, of each task beside what its handler does."""
    thread: float
    """The same where threads run the tasks."""
    client: float
    """The caller's, of a call that is made alone."""
    trip: float
    """To the broker and back, on the clock."""


@dataclass(frozen=True)
class Plant:
    """What there is, and what it has to do."""

    nodes: int = 1
    partitions: int = 1
    processes: int = 2
    threads: int = 1
    cores: int | None = None
    """Of the one machine on which all of it runs; None: each process and each node has its own."""
    speed: float = 1.0
    """Of these cores: less than 1 if other programs use them, too."""
    wait_s: float = 0.0
    """Each task waits so long."""
    rate: float | None = None
    """Calls per second; None: a backlog."""
    is_bulk: bool = True
    callers: int = 0
    """Instead of `rate`: programs that call one by one, as fast as they can."""
    placement: Sequence[int] = ()
    """Partition -> node; empty: by turns."""


class Outcome(NamedTuple):
    """What became of it."""

    per_s: float
    busiest: float
    """Part of the time in which the busiest node ran scripts. Idle workers use what is left: with single calls it is
    more than it must be."""
    wait_p50_ms: float
    wait_p99_ms: float
    """From a call to the start of its task."""
    waiting: int
    """Tasks that waited at the end: it kept up, if these are few."""
    cores: float
    """So many were busy, of those that all share."""


@dataclass
class Partition:
    """A queue of the broker."""

    node: Line
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    number: int = 0
    idle: deque[Signal] = field(default_factory=deque)

    def put(self, now: float, number: int) -> None:
        """Tasks; an idle worker is woken."""
        self.waiting.append((now, number))
        self.number += number
        self.wake()

    def wake(self) -> None:
        """One idle worker, if something waits."""
        while self.number and self.idle:
            signal = self.idle.popleft()
            if not signal.is_given:
                signal.give()
                return

    def take(self, most: int) -> list[tuple[float, int]]:
        """When they came, and how many."""
        taken: list[tuple[float, int]] = []
        while most and self.waiting:
            at, number = self.waiting[0]
            part = min(most, number)
            taken.append((at, part))
            most, self.number = most - part, self.number - part
            if part == number:
                self.waiting.popleft()
            else:
                self.waiting[0] = (at, number - part)
        return taken


class Run:
    """One simulation."""

    def __init__(self, plant: Plant, costs: Costs, seconds: float) -> None:
        self.plant, self.costs, self.seconds = plant, costs, seconds
        self.clock, self._chance = Clock(), random.Random(1)
        self.cores = Cores(plant.cores, plant.speed) if plant.cores else None
        self.nodes = [Line(1) for _ in range(plant.nodes)]
        places = plant.placement or [number % plant.nodes for number in range(plant.partitions)]
        self.partitions = [Partition(self.nodes[node]) for node in places]
        self._of_node = [[one for one, at in zip(self.partitions, places, strict=True) if at == node]
                         for node in range(plant.nodes)]  # fmt: skip
        self._done, self._waits = 0, list[tuple[float, int]]()
        take = costs.thread if plant.threads > 1 else costs.work
        self._cpu_s = take
        pace = max(take, (plant.wait_s + take) / plant.threads)
        self._want = max(1, min(MOST, int(PACE_S / pace)))

    def outcome(self) -> Outcome:
        """Runs it."""
        plant, warm = self.plant, self.seconds * WARM
        if plant.rate is None and not plant.callers:
            for each in self.partitions:
                each.put(0.0, 1 << 40)
        for number in range(plant.callers):
            tell(self.clock, self._caller(self.partitions[number % plant.partitions]))
        if plant.rate is not None:
            for each in self.partitions:
                tell(self.clock, self._producer(each, plant.rate / plant.partitions))
        homes = [some for some in self._of_node if some]
        for number in range(plant.processes):
            tell(self.clock, self._worker(homes[number % len(homes)], number))
        self.clock.run(warm)
        done, self._waits = self._done, []
        busy, used = [node.busy_s for node in self.nodes], self.cores.busy_s if self.cores else 0.0
        self.clock.run(self.seconds)
        spent = self.seconds - warm
        busiest = max((node.busy_s - before) / spent for node, before in zip(self.nodes, busy, strict=True))
        left = sum(each.number for each in self.partitions) if plant.rate or plant.callers else 0
        used = (self.cores.busy_s - used) / spent if self.cores else 0.0
        p50_ms, p99_ms = 1000 * self._wait(0.5), 1000 * self._wait(0.99)
        return Outcome((self._done - done) / spent, busiest, p50_ms, p99_ms, left, used)

    def _producer(self, place: Partition, rate: float) -> Story:
        number, costs = max(1, min(MOST_BULK, int(rate * BULK_S))) if self.plant.is_bulk else 1, self.costs
        script_s = costs.bulk * number if self.plant.is_bulk else costs.call
        while True:
            yield Pause(self._chance.expovariate(rate / number))
            tell(self.clock, self._call(place, number, script_s))

    def _call(self, place: Partition, number: int, script_s: float) -> Story:
        called = self.clock.now
        yield Pause(self.costs.trip / 2)
        yield Script(place.node, self.cores, script_s)
        place.put(called, number)

    def _caller(self, place: Partition) -> Story:
        while True:
            yield Compute(self.cores, self.costs.client)
            called = self.clock.now
            yield Pause(self.costs.trip)
            yield Script(place.node, self.cores, self.costs.call)
            place.put(called, 1)

    def _worker(self, places: list[Partition], number: int) -> Story:
        """It asks ahead: while most of a batch runs, the next one is on its way."""
        turn = number
        batch: list[tuple[float, int]] = []
        while True:
            if not batch:
                turn += 1
                batch = yield from self._fetch(places, turn)
            size = sum(number for _, number in batch)
            self._waits += [(self.clock.now - at, number) for at, number in batch]
            yield from self._run(size / AHEAD_PART)
            arrived, following = Signal(), list[tuple[float, int]]()
            turn += 1
            tell(self.clock, self._ahead(places, turn, arrived, following))
            yield from self._run(size - size / AHEAD_PART)
            self._done += size
            yield arrived
            batch = following

    def _run(self, tasks: float) -> Story:
        """Threads wait while others compute; a single one does not."""
        begun, elapsed = self.clock.now, tasks * self.plant.wait_s / self.plant.threads
        yield Compute(self.cores, tasks * self._cpu_s)
        yield Pause(elapsed if self.plant.threads == 1 else max(0.0, elapsed - (self.clock.now - begun)))

    def _ahead(self, places: list[Partition], turn: int, arrived: Signal, found: list[tuple[float, int]]) -> Story:
        found += yield from self._fetch(places, turn, is_patient=False)
        arrived.give()

    def _fetch(
        self, places: list[Partition], turn: int, is_patient: bool = True
    ) -> Generator[Act, None, list[tuple[float, int]]]:
        order = [places[(turn + offset) % len(places)] for offset in range(len(places))]
        while True:
            place = next((one for one in order if one.number), None)
            if place is None and not is_patient:
                return []
            if place is None:
                signal = Signal()
                for one in order:
                    one.idle.append(signal)
                yield signal
                continue
            taken = place.take(self._want)
            size = sum(number for _, number in taken)
            yield Pause(self.costs.trip / 2)
            yield Script(place.node, self.cores, self.costs.step + size * self.costs.each)
            place.wake()
            yield Pause(self.costs.trip / 2)
            return taken

    def _wait(self, part: float) -> float:
        """The smallest that at least this part of the tasks did not exceed."""
        waits, total = sorted(self._waits), sum(number for _, number in self._waits)
        below = 0
        for seconds, number in waits:
            below += number
            if below >= part * total:
                return seconds
        return 0.0


def simulate(plant: Plant, costs: Costs, seconds: float = 1.0) -> Outcome:
    """What becomes of it in so many seconds."""
    return Run(plant, costs, seconds).outcome()
