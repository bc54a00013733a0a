"""Watches for batches that a slow task holds up: what is finished is settled, what is not started goes back.

A worker does this itself between two tasks. Behind a task that does not come back, only somebody else can. Children
ring the bell when they hold more than they run; while there are such the board is looked at every few
milliseconds, else not at all.
"""

from __future__ import annotations

import time

from distq.broker import verbs
from distq.broker.verbs import Held, Verdicts, verdict
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot

LOOK_S = 0.005
STUCK_NS = 25_000_000
"""What is reserved is to be started in 10 ms; what waits longer is held up. Finished work is visible within 50 ms."""
QUIET_S = 0.2


class Watch(Service):
    """The look at the board."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._next = NEVER
        self._busy_at = 0.0

    def deadline(self) -> float:
        """Soon while somebody works through a batch; NEVER otherwise."""
        return self._next

    def ring(self) -> None:
        """A child began a batch of several."""
        now = time.monotonic()
        self._busy_at = now
        if self._next == NEVER:
            self._site.board.head[board.WATCHING] = 1
            self._next = now + LOOK_S

    def work(self, now: float) -> None:
        """Takes away what is held up; stops looking when nobody has had a batch for a while."""
        if now < self._next:
            return
        now_ns = time.monotonic_ns()
        for slot in self._site.board.slots:
            if slot.is_watched:
                self._busy_at = now
                if slot.is_stuck(now_ns, STUCK_NS):
                    self._take_away(slot)
        self._next = now + LOOK_S
        if now - self._busy_at > QUIET_S:
            # A child that begins a batch just now has either seen WATCHING and is seen here, or will ring.
            self._site.board.head[board.WATCHING] = 0
            if not any(slot.is_watched for slot in self._site.board.slots):
                self._next = NEVER
            else:
                self._site.board.head[board.WATCHING] = 1

    def _take_away(self, slot: Slot) -> None:
        name, site = slot.name, self._site
        for held in slot.revoke(name):
            verdicts = given_back(held)
            if verdicts.number and held.queue < len(site.prefixes):
                command = verbs.settle(site.prefixes[held.queue], name, next(site.numbers), verdicts)
                site.link.submit(command, lambda answer: None)


def given_back(held: Held) -> Verdicts:
    """What is finished, and the release of what is not started, in an order that keeps theirs."""
    back = [verdict(entry, b"release", b"", 0, b"") for entry in reversed(held.waiting)]
    return Verdicts(held.verdicts.number + len(back), held.verdicts.items + b"".join(back))
