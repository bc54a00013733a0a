"""Keeps the time of each queue: what is delayed, deadlines, ticks of schedules, and the next tokens of limits.

One supervisor in the fleet is a queue's keeper. It waits on its own monotonic clock for the time that the broker named,
runs `tick`, and is told of earlier times through its control key. Another one takes over when it resigns or dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from distq.broker import verbs
from distq.supervisor.service import NEVER, Service, Site

Fire = Callable[[int, verbs.Tick, Callable[[int], None]], None]
"""Fires schedules of a queue, and then tells in how many ms something is to be done there again."""

REFUSED_S = 5.0
MAX_WAIT_S = 300.0
"""The keeper asks again after this long even for a later time: clocks differ a little in speed."""


class Timekeeper(Service):
    """The timers of all queues of one supervisor."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._due = [0.0 for _ in site.prefixes]
        self._asked = [False for _ in site.prefixes]
        self.fire: Fire = lambda queue, tick, ticked: None

    def deadline(self) -> float:
        """The earliest time of any queue."""
        return min((due for due, asked in zip(self._due, self._asked, strict=True) if not asked), default=NEVER)

    def work(self, now: float) -> None:
        """Ticks the queues whose time has come."""
        for queue, due in enumerate(self._due):
            if due <= now and not self._asked[queue]:
                self.tick(queue)

    def tick(self, queue: int) -> None:
        """Does what is due in this queue and learns when to come again."""
        if self._asked[queue]:
            self._due[queue] = 0.0  # once more when the answer is there: it may not know of what came since
            return
        self._asked[queue], self._due[queue] = True, NEVER
        site = self._site
        command = verbs.tick(site.prefixes[queue], site.host, site.config.lease_ms)
        site.link.submit(command, lambda tick: self._ticked(queue, tick), lambda: self._refused(queue))

    def finish(self) -> None:
        """Hands the office on."""
        for prefix in self._site.prefixes:
            self._site.link.submit(verbs.resign(prefix, self._site.host), lambda keeper: None, lambda: None)

    def _refused(self, queue: int) -> None:
        """Somebody broke a key that it needs: once more in a while."""
        self._asked[queue] = False
        self._due[queue] = time.monotonic() + REFUSED_S

    def _ticked(self, queue: int, tick: verbs.Tick) -> None:
        self._asked[queue] = False
        if tick.is_keeper and tick.wait_ms is not None:
            self._expect(queue, tick.wait_ms)
        if tick.due:
            self.fire(queue, tick, partial(self._expect, queue))

    def _expect(self, queue: int, wait_ms: int) -> None:
        self._due[queue] = min(self._due[queue], time.monotonic() + min(wait_ms / 1000, MAX_WAIT_S))
