"""Tells the broker how many attempts have ended on this host, and how long they took: what the status board has counted
since it was told last. A host that has run nothing says nothing; with one that dies goes what it has not told yet."""

from __future__ import annotations

import random
import time
from functools import partial
from itertools import count

from distq.broker.history import roll_up
from distq.broker.ledger import OTHER
from distq.run_times import RunTimes
from distq.supervisor.service import NEVER, Service, Site
from distq.worker.board import TYPES
from distq.worker.meters import read_meters

EVERY_S = 10.0
AT_ONCE = 20
"""Types that are looked at in one turn of the loop, and told in one call."""


class RollUps(Service):
    """The look at the counters. All of a host goes to its first queue: whoever reads adds up all queues."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._next = time.monotonic() + EVERY_S * random.random()  # hosts that start together speak one after the other
        self._position = 0
        self._told: dict[int, RunTimes] = {}
        """By position on the board."""
        self._numbers = count(1)
        self._is_asked = False

    def deadline(self) -> float:
        """Every ten seconds, and at once while there are further types."""
        return NEVER if self._is_asked else self._next

    def work(self, now: float) -> None:
        """Looks at some types, and tells what is new."""
        if now < self._next or self._is_asked:
            return
        self._tell(self._position)
        self._position += AT_ONCE
        if self._position >= self._places:
            self._position, self._next = 0, now + EVERY_S

    def finish(self) -> None:
        """The host ends: all that is new."""
        for position in range(0, self._places, AT_ONCE):
            self._tell(position)

    @property
    def _places(self) -> int:
        """Those beyond the last place of a type share that."""
        return min(len(self._site.names), TYPES + 1)

    def _tell(self, start: int) -> None:
        site, news, before = self._site, [], {}
        for position in range(start, min(start + AT_ONCE, self._places)):
            counted, told = read_meters(site.board, position), self._told.get(position, RunTimes())
            if counted.number != told.number:
                news.append((site.names[position] if position < TYPES else OTHER, counted.plus(told, -1)))
                self._told[position], before[position] = counted, told
        if news:
            self._is_asked = True
            command = roll_up(site.prefixes[0], site.host, next(self._numbers), news)
            site.link.submit(command, self._answered, partial(self._refused, before))

    def _answered(self, word: bytes) -> None:
        self._is_asked = False

    def _refused(self, before: dict[int, RunTimes]) -> None:
        """A full broker, say: it is told the next time."""
        self._is_asked = False
        self._told.update(before)
