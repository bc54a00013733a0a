"""`--burst`: the host ends when nothing is left to do. What is scheduled for later does not count."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from distq.broker import keys
from distq.broker.ledger import Tally, alive, by_type, tally, total, waiting
from distq.supervisor.children import Children
from distq.supervisor.service import NEVER, Service, Site

logger = logging.getLogger("distq.supervisor")

LOOK_S = 0.1
SAY_S = 10.0
"""So often it says what it still waits for."""


class Burst(Service):
    """Looks at all queues again and again. The end is when all are empty, nothing runs, and nothing has happened since
    the look before: a task may have enqueued another in a queue that had been looked at. Meanwhile it says what is
    there, and at the end what it leaves."""

    def __init__(self, site: Site, children: Children, end: Callable[[str], None]) -> None:
        self._site, self._children, self._end = site, children, end
        self._say_at = 0.0
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
        if self._open:
            return
        is_whole = len(self._found) == len(self._site.prefixes)
        is_over = not any(waiting(one.depths) or one.depths.running for one in self._found.values())
        if is_over and is_whole and self._found == self._before:
            left = sum(one.depths.scheduled for one in self._found.values())
            self._end("nothing is left to do" + (f" but {_tasks(left)} scheduled for later" if left else ""))
        elif not (is_over and is_whole) and time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + SAY_S
            logger.info("burst: %s", self._waits_for())

    def _waits_for(self) -> str:
        """In words. When nothing runs, also the types: a rate, or that nobody knows them, may hold them up."""
        silent = [keys.queue_of(prefix) for prefix in self._site.prefixes if prefix not in self._found]
        if silent:
            return f"the broker does not tell what is in {', '.join(silent)}"
        found = total(list(self._found.values()))
        ready, depths = waiting(found.depths), found.depths
        said = f"{_tasks(ready)} ready, {depths.running} running; it ends when none is"
        if depths.scheduled:
            said += f"; {depths.scheduled} scheduled for later do not count"
        if depths.in_lanes and not depths.running:
            types = Counter({type: alive(events) for type, events in by_type(found.counts).items()})
            named = ", ".join(f"{type} {number}" for type, number in types.most_common(5) if number > 0)
            said += f"; {depths.in_lanes} wait for their rate or a host that takes their type (there are: {named})"
        return said


def _tasks(number: int) -> str:
    return f"{number:,} task" + ("" if number == 1 else "s")
