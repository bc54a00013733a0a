"""What a host can say of how many hosts there should be: it has seen how much comes, and how long that takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from distq.broker.backlog import Backlog
from distq.broker.history import Past, history
from distq.broker.ledger import totals
from distq.demand import MOST_WITHIN_S, WITHIN_S, Demand, Pace, mean_s, reckon
from distq.run_times import RunTimes
from distq.supervisor.condition import Condition
from distq.worker.meters import read_meters

FRESH_S = 300.0
"""Durations are those of the last five to ten minutes."""
APART_S = 1.0
"""Between two looks that are remembered."""
STALE = 4
"""Looks of so many times `within` ago say nothing of now."""


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
        """For what was found just now, without the types that this host leaves to others."""
        condition, lately = self._condition, self._lately()
        runs = self._elsewhere | lately
        pace = Pace(runs, mean_s(lately or runs), condition.longest_s, self._arrivals(found, within_s))
        work = {type: number for type, number in found.work.items() if type in condition.site.taken}
        self._is_unsure = not work.keys() <= runs.keys()
        return reckon(found, work, pace, condition.places, within_s)

    def _arrivals(self, found: Backlog, within_s: float) -> float | None:
        """Over the time that was given, or a little more; None: nobody has asked then."""
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


def _arrived(found: Backlog) -> int:
    """How many came to be ready, but for a constant: each has run, or could, or does."""
    events = totals(found.tally.counts)
    return found.ready + found.tally.depths.running + events["completed"] + events["dead"] + events["retried"]
