"""What is measured of a system, each on a fresh broker: enqueueing, draining, latency, memory, what idle workers send.

Draining: the workers are started and warmed up on an empty queue, halted (SIGSTOP), the queue is filled, and they go on
(SIGCONT). So neither their start nor the producer is in the figure, and each process is busy from the first moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figure import percentile
from benchmarks.host import sent_within
from benchmarks.numbers import rate_of, scaled
from benchmarks.peers.install import Unavailable
from benchmarks.peers.stage import PATIENCE_S, Crew, Producer, Stage, crew, producer, stage, until
from benchmarks.peers.systems import System

PROCESSES = (1, 2, 4)
ROUND_TRIP = 4711
SLEEP_SLOTS = 10
SLEEP_IDEAL = 2 * SLEEP_SLOTS / 0.01

Numbers = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    seconds: float = 2.0
    """How long a drain should take; enqueueing takes half of it."""
    stamps: int = 120
    """Tasks whose latency is measured."""
    idle_s: float = 5.0
    settle_s: float = 1.0
    """Between the last task and the measures of an idle worker."""


@dataclass(frozen=True)
class Sizes:
    """How many operations of each kind one system does."""

    enqueue: int
    enqueue_10: int
    bulk: int
    drain: int
    """With two processes; with one and with four in proportion to the cores that they can use."""


def estimate(system: System, scale: Scale) -> Sizes:
    """A quick first look, so that a slow system does not take minutes and a fast one not a blink."""
    with stage(system) as place, producer(place) as hand:
        rate, ten = hand.enqueue(100), hand.enqueue(200, 10)
        bulk = max(hand.bulk(500), ten) if system.bulk else 0.0
    with stage(system) as place, crew(place, 2) as workers, producer(place) as hand:
        _warm(place, hand, workers, 2)
        number, took, drained = 50, 0.0, 1.0
        while took < min(0.3, scale.seconds / 2) and number < 50_000:
            number *= 4
            drained, took = _drain(place, hand, workers, number)
    half = scale.seconds / 2
    return Sizes(
        scaled(rate, half, 50, 50_000),
        scaled(ten, half, 50, 100_000),
        scaled(bulk, half, 500, 200_000) if bulk else 0,
        scaled(drained, scale.seconds, 100, 300_000),
    )


def enqueueing(system: System, sizes: Sizes, scale: Scale, cores: int) -> Numbers:
    """One producer, ten of them, and many in one call; nobody works."""
    with stage(system) as place, producer(place) as hand:
        hand.enqueue(50)
        hand.enqueue(100, 10)
        found = {"enqueue_1": hand.enqueue(sizes.enqueue), "enqueue_10": hand.enqueue(sizes.enqueue_10, 10)}
        if system.bulk:
            hand.bulk(100)
            found["bulk"] = hand.bulk(sizes.bulk)
        return found


def draining(processes: int) -> Callable[[System, Sizes, Scale, int], Numbers]:
    """With so many processes; with two the latency too, with four what they need in memory and when idle."""

    def measure(system: System, sizes: Sizes, scale: Scale, cores: int) -> Numbers:
        number = max(100, round(sizes.drain * min(processes, cores) / min(2, cores)))
        with stage(system) as place, crew(place, processes) as workers:
            with producer(place) as hand:
                _warm(place, hand, workers, processes)
                rate, _ = _drain(place, hand, workers, number)
                found = {f"drain_{processes}": rate}
                if system.stores_results:
                    _check_results(hand)
                if processes == 2:
                    found |= _latency(place, hand, workers, scale)
            if processes == 4:
                time.sleep(scale.settle_s)
                found["memory"] = workers.pss_mib()
                found["idle"] = len(sent_within(place.client, scale.idle_s)) / scale.idle_s
            workers.check()
        return found

    return measure


def sleeping(system: System, sizes: Sizes, scale: Scale, cores: int) -> Numbers:
    """Tasks of 10 ms, two processes with ten slots each: at most 2,000 in a second."""
    if not system.slots:
        return {}
    with stage(system) as place, crew(place, 2, SLEEP_SLOTS) as workers, producer(place) as hand:
        _warm(place, hand, workers, 2)
        rate, _ = _drain(place, hand, workers, scaled(SLEEP_IDEAL, scale.seconds, 100, 20_000), "sleep")
        return {"sleep": rate}


ALL: dict[str, Callable[[System, Sizes, Scale, int], Numbers]] = {
    "enqueue": enqueueing,
    **{f"drain-{processes}": draining(processes) for processes in PROCESSES},
    "sleep": sleeping,
}


def _warm(place: Stage, hand: Producer, workers: Crew, processes: int) -> None:
    """Until every process has run some tasks; a system that leaves some of them idle gets by without them."""
    done = place.count()
    for _ in range(10):
        hand.fill(place.system, 20 * processes)
        done += 20 * processes
        wanted = done  # bound now, for the lambda
        until(lambda wanted=wanted: place.count() >= wanted, "warming up", workers)  # type: ignore[misc]
        if len(place.counts()) >= processes:
            return


def _drain(place: Stage, hand: Producer, workers: Crew, number: int, task: str = "noop") -> tuple[float, float]:
    """Tasks per second, and how long it took altogether."""
    before = place.count()
    with workers.halted():
        hand.fill(place.system, number, task)
        samples = [(time.perf_counter(), 0)]
    progress = begun = samples[0][0]
    while samples[-1][1] < number:
        time.sleep(0.02)
        samples.append((time.perf_counter(), place.count() - before))
        if samples[-1][1] > samples[-2][1]:
            progress = samples[-1][0]
        elif samples[-1][0] - progress > PATIENCE_S:
            raise Unavailable(f"it stopped at {samples[-1][1]} of {number} tasks")
        workers.check()
    return rate_of(samples, number), samples[-1][0] - begun


def _check_results(hand: Producer) -> None:
    value = hand.ask("value", number=ROUND_TRIP)["value"]
    if value != ROUND_TRIP:
        raise Unavailable(f"the result of a task is {value!r}, not {ROUND_TRIP}")


def _latency(place: Stage, hand: Producer, workers: Crew, scale: Scale) -> Numbers:
    """From the call to the start of the handler, one at a time, so long after one another that all is idle again."""
    gaps = pauses(scale.stamps)
    sent = hand.ask("pace", gaps=gaps)["sent"]
    until(lambda: len(place.started()) >= len(gaps), "stamped tasks", workers)
    started = place.started()
    waits = [(started[number] - at) / 1e6 for number, at in enumerate(sent)]
    return {"latency_p50": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}


def pauses(number: int) -> list[float]:
    """10 to 40 ms, the same for all, and in step with nobody's polling."""
    chance = random.Random(1)
    return [chance.uniform(0.01, 0.04) for _ in range(number)]
