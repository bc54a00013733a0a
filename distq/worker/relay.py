"""The hand of a worker with an event loop.

An attempt that ends in the turn of the loop in which it began is mostly followed at once by another that begins. Both
then are one turn under the lock of the slot, as they are for a worker of one thread (`Hand.start`).
"""

from __future__ import annotations

from distq.worker.board import LEASE_UNTIL, REVOKED, STARTED, VERDICT_SPAN
from distq.worker.hand import Done, Hand, Item, Unit


class Relay(Hand):
    """The child's side of its slot."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is noted that a step has yet to carry."""
        return len(self._noted) == self._sent

    def follow(self, seat: int, now_ns: int, former: int, last: Done) -> Item | None:
        """Notes the verdict on what another seat has run, which is free then, and gives this one what to run."""
        words, waiting = self._words, self.waiting
        self._acquire()
        try:
            self._note(former, last)
            item, index = None, 0
            if waiting and now_ns <= words[LEASE_UNTIL] and not words[REVOKED] and not self.loose:
                item = waiting.popleft()
                self._started = index = self._started + 1
                if type(item) is Unit:
                    more = len(item.items) - 1
                    self._started += more
                    index |= more << 32
            # One after the other: who dies in between has finished what its seat still says.
            words[VERDICT_SPAN] = self._span
            if not (self.loose and self._is_loose(former)):
                self.running[former] = None
                self._seats[former] = 0
            if item is not None:
                self.running[seat] = item
                words[STARTED] = self._started
                self._since[seat] = now_ns
                self._seats[seat] = index
            if not waiting or len(self._noted) <= self._sent + 1:
                self._note_age(now_ns)
            return item
        finally:
            self._release()
