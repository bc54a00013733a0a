"""How many slots and hosts there would have to be, for autoscalers. The larger one of two numbers of slots:

- what runs all that could run, or does, `within` a time: the sum over these tasks of min(1, duration of the type /
  within), for a task takes one slot at most, however long it runs;
- what keeps up with what comes: tasks that come to be ready per second × their mean duration.

What is scheduled or waits for a limit counts from when it could run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from distq.broker.backlog import Backlog
from distq.durations import seconds
from distq.errors import ConfigurationError
from distq.run_times import RunTimes

WITHIN_S = 30.0
LEAST_WITHIN_S, MOST_WITHIN_S = 1.0, 3600.0


class Demand(NamedTuple):
    """The answer. Types that whoever answers leaves to others do not count."""

    wanted_workers: int
    """Hosts of so many slots."""
    wanted_slots: int
    slots_per_worker: int
    within_s: float
    backlog: int
    """Tasks that wait, and could run."""
    running: int
    service_time_s: float | None
    """Mean duration of all these; None: there are none, or nobody has run anything yet."""
    arrivals_per_s: float | None
    """Tasks that come to be ready; None: it is not known."""


@dataclass(frozen=True)
class Pace:
    """How long tasks take, and how many come."""

    runs: Mapping[str, RunTimes]
    """By type."""
    usual_s: float = 0.0
    """Mean of those that ran lately."""
    longest_s: float = 0.0
    """What runs now has run for so long: the least that is known of a type of which nothing has ended."""
    arrivals_per_s: float | None = None

    def duration(self, type: str) -> float:
        """Seconds that a task of this type takes, as far as is known."""
        its = self.runs.get(type, RunTimes())
        return its.mean_s or max(self.usual_s, self.longest_s)


def reckon(found: Backlog, work: Mapping[str, float], pace: Pace, slots_per_worker: int, within_s: float) -> Demand:
    """For what was found in all queues together. `work`: what counts of it, by type."""
    mix = [(number, pace.duration(type)) for type, number in work.items()]
    tasks, spent_s = sum(work.values()), sum(number * duration for number, duration in mix)
    drains = sum(number * min(1.0, duration / within_s) for number, duration in mix)
    slots = _whole(max(drains, (pace.arrivals_per_s or 0.0) * pace.usual_s, 1.0 if tasks else 0.0))
    running = round(tasks * found.tally.depths.running / max(1, found.ready + found.tally.depths.running))
    return Demand(
        _whole(slots / slots_per_worker) if slots_per_worker else 0, slots, slots_per_worker, within_s,
        round(tasks) - running, running, spent_s / tasks if tasks and pace.runs else None, pace.arrivals_per_s,
    )  # fmt: skip


def mean_s(runs: Mapping[str, RunTimes]) -> float:
    """Of all types together; 0 if there are none."""
    number = sum(its.number for its in runs.values())
    return sum(its.sum_s for its in runs.values()) / number if number else 0.0


def within(text: str) -> float:
    """Seconds in a time such as "30s". Raises ConfigurationError."""
    number = seconds(text, "within") if text else WITHIN_S
    if not LEAST_WITHIN_S <= number <= MOST_WITHIN_S:
        raise ConfigurationError(f"within={text!r:.80}: give a time from 1s to 1h")
    return number


def _whole(number: float) -> int:
    """Rounded up, but for what reckoning has added."""
    return math.ceil(number - 1e-9)
