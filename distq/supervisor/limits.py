"""Time limits: ends the process of a task whose time is over, and before that has its handler told, if it wants to be.

Children note the limits of what they run on the status board. They ring only if one is earlier than the next look here,
so quick tasks with long limits cost one look per limit's length, and tasks without limits none.
"""

from __future__ import annotations

import time

from distq.supervisor.children import Children
from distq.supervisor.endings import End
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board, bounds
from distq.worker.board import Slot
from distq.worker.interrupt import SIGNAL

AGAIN_NS = 1_000_000
"""A process that just moves on is looked at again after this long."""
MOST_TRIES = 100
FIRST_PAUSE_S, MOST_PAUSE_S = 0.02, 1.0
"""Between two signals to a handler that has not been told."""


class Limits(Service):
    """The look at the clock."""

    def __init__(self, site: Site, children: Children) -> None:
        self._site, self._children = site, children
        self._next = NEVER
        self._tries: dict[End, int] = {}
        self._told: dict[tuple[int, int], tuple[int, float, float]] = {}
        """By slot and seat: (begin of the run, when the next signal is due, the pause behind it)."""
        site.board.head[board.LIMIT_AT] = bounds.NEVER

    def deadline(self) -> float:
        """The first limit."""
        return self._next

    def ring(self) -> None:
        """A task has begun whose limit is earlier than all that are known."""
        self._next = 0.0

    def work(self, now: float) -> None:
        """Does what is due, and finds out when to come again."""
        if now < self._next:
            return
        head, now_ns = self._site.board.head, time.monotonic_ns()
        head[board.LIMIT_AT] = bounds.NEVER  # who begins from here on rings; the others are seen
        due = bounds.NEVER
        for slot in self._site.board.slots:
            if slot.words[board.STATE] in (board.IDLE, board.BUSY):
                due = min([due, *(self._look(slot, seat, now_ns) for seat in range(slot.words[board.SEATS]))])
        head[board.LIMIT_AT] = due
        self._next = due / 1e9 if due != bounds.NEVER else NEVER

    def _look(self, slot: Slot, seat: int, now_ns: int) -> int:
        """When to look at this seat again."""
        since = slot.since[seat]
        soft_ns, hard_ns = slot.bounds.limits(seat, since)
        if not slot.seats[seat] or min(soft_ns, hard_ns) == bounds.NEVER:
            return bounds.NEVER
        if hard_ns <= now_ns:
            return self._end(slot, seat, since, now_ns)
        return min(hard_ns, self._tell(slot, seat, since, now_ns) if soft_ns <= now_ns else soft_ns)

    def _tell(self, slot: Slot, seat: int, since: int, now_ns: int) -> int:
        """Orders it, and sends a signal until that is obeyed."""
        known = self._told.get((slot.index, seat))
        if known is None or known[0] != since:
            slot.bounds.order(seat, since)
            known = since, 0.0, FIRST_PAUSE_S
        elif not slot.bounds.is_ordered(seat, since):
            return bounds.NEVER
        _, due, pause = known
        if now_ns >= due * 1e9:
            self._children.signal(slot.index, SIGNAL)
            due = now_ns / 1e9 + pause
            known = since, due, min(2 * pause, MOST_PAUSE_S)
        self._told[slot.index, seat] = known
        return int(due * 1e9)

    def _end(self, slot: Slot, seat: int, since: int, now_ns: int) -> int:
        """While we have the lock of its slot, its child neither ends this task nor begins another. One that is stopped
        or dead may have it for ever, and does not go on either."""
        end = End(seat, since)
        tries = self._tries[end] = self._tries.get(end, 0) + 1
        is_mine = slot.lock.acquire(block=False)
        if not is_mine and tries < MOST_TRIES:
            return now_ns + AGAIN_NS
        try:
            if slot.since[seat] == since and slot.seats[seat]:
                self._children.end_for(slot.index, end)
        finally:
            if is_mine:
                slot.lock.release()
        self._tries.pop(end)
        return bounds.NEVER
