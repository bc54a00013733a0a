"""`--burst`: the host ends when nothing is left to do. What is scheduled for later does not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from distq.broker.ledger import Tally, tally, waiting
from distq.supervisor.children import Children
from distq.supervisor.service import NEVER, Service, Site

LOOK_S = 0.1


class Burst(Service):
    """Looks at all queues again and again. The end is when all are empty, nothing runs, and nothing has happened since
    the look before: a task may have enqueued another in a queue that had been looked at."""

    def __init__(self, site: Site, children: Children, end: Callable[[], None]) -> None:
        self._site, self._children, self._end = site, children, end
        self._look_at = 0.0
        self._found: dict[str, Tally] = {}
        self._before: dict[str, Tally] = {}
        self._open = 0

    def deadline(self) -> float:
        """When it looks again."""
        return NEVER if self._open or self._children.is_ending else self._look_at

    def work(self, now: float) -> None:
        """Looks."""
        if now < self._look_at or self._open or self._children.is_ending:
            return
        self._look_at = now + LOOK_S
        if not self._children.all_ready:
            return
        self._before, self._found, self._open = self._found, {}, len(self._site.prefixes)
        for prefix in self._site.prefixes:
            self._site.link.submit(tally(prefix), partial(self._take, prefix), self._answered)

    def _take(self, prefix: str, found: Tally) -> None:
        self._found[prefix] = found
        self._answered()

    def _answered(self) -> None:
        self._open -= 1
        self._look_at = time.monotonic() + LOOK_S
        is_over = not any(waiting(one.depths) or one.depths.running for one in self._found.values())
        if self._open == 0 and is_over and self._found == self._before and len(self._found) == len(self._site.prefixes):
            self._end()
