"""How many seats and hosts there would have to be, for autoscalers. The larger one of two numbers of seats:

- what runs all that could run, or does, `within` a time: the sum over these tasks of min(1, duration of the type /
  within), for a task takes one seat at most, however long it runs;
- what keeps up with what comes: tasks that come to be ready per second × their mean duration.

What is scheduled or waits for a limit counts from when it could run.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from distq.broker.backlog import Backlog
from distq.broker.history import Past, history
from distq.broker.ledger import totals
from distq.durations import seconds
from distq.errors import ConfigurationError
from distq.run_times import RunTimes
from distq.supervisor.condition import Condition
from distq.worker.meters import read_meters

WITHIN_S = 30.0
LEAST_WITHIN_S, MOST_WITHIN_S = 1.0, 3600.0
FRESH_S = 300.0
"""Durations are those of the last five to ten minutes."""
APART_S = 1.0
"""Between two looks that are remembered."""
STALE = 4
"""Looks of so many times `within` ago say nothing of now."""


class Demand(NamedTuple):
    """The answer. Types that this host leaves to others do not count."""

    wanted_workers: int
    """Hosts like this one."""
    wanted_slots: int
    slots_per_worker: int
    within_s: float
    backlog: int
    """Tasks that wait, and could run."""
    running: int
    service_time_s: float | None
    """Mean duration of all these; None: there are none, or nobody has run anything yet."""
    arrivals_per_s: float | None
    """Tasks that come to be ready; None: nobody asked at a time from which this could be told."""


class Outlook:
    """1. notes how much has come to be ready, and how long tasks take; 2. asks how long those take that have not run
    here; 3. reckons what follows from that."""

    def __init__(self, condition: Condition, clock: Callable[[], float] = time.monotonic) -> None:
        self._condition, self._clock = condition, clock
        self._arrived: deque[tuple[float, int]] = deque(maxlen=int(MOST_WITHIN_S / APART_S))
        self._looks: list[tuple[float, dict[str, RunTimes]]] = [(clock(), {})] * 2
        """At the counters of attempts: lately is since the first of them."""
        self._elsewhere: dict[str, RunTimes] = {}
        self._is_unsure, self._ask_at = True, 0.0

    def ask(self) -> None:
        """How long tasks took on all hosts, if it has to be known. The answer comes before those to later questions."""
        if self._is_unsure and self._clock() >= self._ask_at:
            self._elsewhere, self._ask_at, site = {}, self._clock() + FRESH_S, self._condition.site
            for prefix in site.prefixes:
                site.link.submit(history(prefix, "5m"), self._hear, lambda: None)

    def _hear(self, past: Past) -> None:
        for runs in past.runs.values():
            for type, times in runs.items():
                self._elsewhere[type] = self._elsewhere.get(type, RunTimes()).plus(times)

    def note(self, found: Backlog) -> None:
        """What was found just now in all queues together."""
        now = self._clock()
        if not self._arrived or now >= self._arrived[-1][0] + APART_S:
            self._arrived.append((now, _arrived(found)))
        if now >= self._looks[1][0] + FRESH_S:
            self._looks = [self._looks[1], (now, self._counted())]

    def demand(self, found: Backlog, within_s: float = WITHIN_S) -> Demand:
        """For what was found just now."""
        condition, lately = self._condition, self._lately()
        usual_s = _mean(lately or self._elsewhere)
        unknown_s = max(usual_s, condition.longest_s)
        durations = {type: its.mean_s or unknown_s for type, its in (self._elsewhere | lately).items()}
        taken = {type: number for type, number in found.work.items() if type in condition.site.taken}
        mix = [(number, durations.get(type, unknown_s)) for type, number in taken.items()]
        self._is_unsure = not taken.keys() <= durations.keys()
        tasks, spent_s = sum(taken.values()), sum(number * duration for number, duration in mix)
        arrivals = self._arrivals(found, within_s)
        drains = sum(number * min(1.0, duration / within_s) for number, duration in mix)
        slots = _whole(max(drains, (arrivals or 0.0) * usual_s, 1.0 if tasks else 0.0))
        seats = condition.places
        running = round(tasks * found.tally.depths.running / max(1, found.ready + found.tally.depths.running))
        return Demand(
            _whole(slots / seats) if seats else 0, slots, seats, within_s, round(tasks) - running, running,
            spent_s / tasks if tasks and durations else None, arrivals,
        )  # fmt: skip

    def _arrivals(self, found: Backlog, within_s: float) -> float | None:
        """Over the time that was given, or a little more."""
        now = self._clock()
        for at, arrived in reversed(self._arrived):
            if within_s <= now - at <= STALE * within_s:
                return max(0, _arrived(found) - arrived) / (now - at)
        return None

    def _counted(self) -> dict[str, RunTimes]:
        site = self._condition.site
        found = {type: read_meters(site.board, position) for position, type in enumerate(site.names)}
        return {type: its for type, its in found.items() if its.number}

    def _lately(self) -> dict[str, RunTimes]:
        """Of a type of which nothing has ended lately: since the start."""
        before, now = self._looks[0][1], self._counted()
        since = {type: its.plus(before[type], -1) for type, its in now.items() if type in before}
        return now | {type: its for type, its in since.items() if its.number}


def within(query: str) -> float:
    """Seconds in `within=30s`, as an address has it. Raises ConfigurationError."""
    given = re.search(r"(?:^|&)within=([^&]*)", query)
    number = seconds(given[1], "within") if given else WITHIN_S
    if not LEAST_WITHIN_S <= number <= MOST_WITHIN_S:
        raise ConfigurationError(f"within={given[1] if given else ''!r:.80}: give a time from 1s to 1h")
    return number


def _mean(runs: dict[str, RunTimes]) -> float:
    number = sum(its.number for its in runs.values())
    return sum(its.sum_s for its in runs.values()) / number if number else 0.0


def _arrived(found: Backlog) -> int:
    """How many came to be ready, but for a constant: each has run, or could, or does."""
    events = totals(found.tally.counts)
    return found.ready + found.tally.depths.running + events["completed"] + events["dead"] + events["retried"]


def _whole(number: float) -> int:
    """Rounded up, but for what reckoning has added."""
    return math.ceil(number - 1e-9)
