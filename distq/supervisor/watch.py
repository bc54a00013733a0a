"""Watches for batches that a slow task holds up: what is finished is settled, what is not started goes back.

A worker does this itself between two tasks. Behind a task that does not come back, only somebody else can. Children
ring the bell when they begin a batch of several; while there are such batches the board is looked at every few
milliseconds, else not at all.
"""

from __future__ import annotations

import time

from distq.broker import verbs
from distq.broker.verbs import Verdicts, verdict
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Batch, Slot

LOOK_S = 0.005
STUCK_NS = 25_000_000
"""A batch is reserved to be done in 10 ms; older than this it is held up. Finished work is visible within 50 ms."""
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
            if slot.words[board.COUNT] > 1 and slot.words[board.STATE] == board.BUSY:
                self._busy_at = now
                if slot.is_stuck(now_ns, STUCK_NS):
                    self._take_away(slot)
        self._next = now + LOOK_S
        if now - self._busy_at > QUIET_S:
            # A child that begins a batch just now has either seen WATCHING and is seen here, or will ring.
            self._site.board.head[board.WATCHING] = 0
            if not any(s.words[board.COUNT] > 1 and s.words[board.STATE] == board.BUSY for s in self._site.board.slots):
                self._next = NEVER
            else:
                self._site.board.head[board.WATCHING] = 1

    def _take_away(self, slot: Slot) -> None:
        name = slot.name
        batch = slot.revoke()
        if batch is None:
            return
        verdicts = given_back(batch)
        if verdicts.number:
            site = self._site
            command = verbs.settle(site.prefixes[batch.queue], name, next(site.numbers), verdicts)
            site.link.submit(command, lambda answer: None)


def given_back(batch: Batch) -> Verdicts:
    """What is finished of a batch, and the release of what is not started, in an order that keeps theirs."""
    back = [verdict(entry, b"release", b"", 0, b"") for entry in reversed(batch.entries[batch.started :])]
    return Verdicts(batch.verdicts.number + len(back), batch.verdicts.items + b"".join(back))
