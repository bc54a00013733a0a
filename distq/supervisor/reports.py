"""Tells the broker how far tasks are. Their handlers say it on the status board, as often as they like; here it is read
from time to time, and only what is new is sent. While nobody says anything, nobody looks."""

from __future__ import annotations

import time

from distq.broker.memory import PROGRESS, checkpoint
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot
from distq.worker.seen import Report

EVERY_S = 0.25
QUIET_S = 1.0
AT_ONCE = 250
"""So many threads or coroutines of a process are read while it waits for the lock of its slot."""


class Reports(Service):
    """The look at what was said."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._next = NEVER
        self._heard_at = 0.0
        self._open = 0
        """How many are sent, and not answered."""
        self._sent: dict[tuple[int, int], int] = {}
        """By slot and seat the number of the last report that was dealt with."""

    def deadline(self) -> float:
        """Soon while somebody says how far it is; NEVER otherwise."""
        return self._next

    def ring(self) -> None:
        """A handler has said how far it is, the first one for a while: this is shown at once."""
        if self._next == NEVER:
            self._site.board.head[board.REPORTING] = 1
            self._next = self._heard_at = time.monotonic()

    def work(self, now: float) -> None:
        """Sends what is new; stops looking when nobody has said anything for a while."""
        if now < self._next:
            return
        self._next = now + EVERY_S
        if self._open:
            return  # what else goes this way, above all renewals of leases, must not wait behind more and more of them
        if self._send():
            self._heard_at = now
        elif now - self._heard_at > QUIET_S:
            # Who speaks just now has either seen REPORTING and is heard here, or will ring.
            self._site.board.head[board.REPORTING] = 0
            if self._send():
                self._site.board.head[board.REPORTING], self._heard_at = 1, now
            else:
                self._next = NEVER

    def _send(self) -> bool:
        """Whether there was something."""
        found = [self._send_of(slot) for slot in self._site.board.slots]
        return any(found)

    def _send_of(self, slot: Slot) -> bool:
        sent, index = self._sent, slot.index
        new = [
            (seat, number)
            for seat in range(slot.words[board.SEATS])
            if (number := slot.reported(seat)) != sent.get((index, seat), 0)
        ]
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            for (seat, number), report in zip(some, slot.read_reports([seat for seat, _ in some]), strict=True):
                if report is not None:
                    self._submit(report)
                if report is not None or slot.words[board.STATE] != board.BUSY:  # else what it was about is over
                    sent[index, seat] = number
        return bool(new)

    def _submit(self, report: Report) -> None:
        prefixes = self._site.prefixes
        if report.queue < len(prefixes):
            command = checkpoint(prefixes[report.queue], report.worker, report.entry, {PROGRESS: report.raw})
            self._open += 1
            self._site.link.submit(command, lambda answer: self._answered(), self._answered)

    def _answered(self) -> None:
        self._open -= 1
