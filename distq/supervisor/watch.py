"""Watches for batches that a slow task holds up: what is finished is settled, what is not started goes back.

A worker does this itself between two tasks. Behind a task that does not come back, only somebody else can. Children
ring the bell when they hold more than they run; while there are such the board is looked at every few
milliseconds, else not at all.

A child with several seats may have a step on its way when one of its handlers begins to keep the interpreter: then it
does not read the answer. Whether there is one the broker tells; if it is not read soon, what it brings goes back too.
"""

from __future__ import annotations

import time

from distq.broker import verbs, verdicts
from distq.broker.verbs import Held
from distq.broker.verdicts import Verdicts, released
from distq.logs import write_lines
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot

LOOK_S = 0.005
STUCK_NS = 25_000_000
"""What is reserved is to be started in 10 ms; what waits longer is held up. Finished work is visible within 50 ms."""
QUIET_S = 0.2
AGAIN_S = 0.05


class Watch(Service):
    """The look at the board."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._next = NEVER
        self._busy_at = 0.0
        self._again: dict[int, tuple[str, float]] = {}
        self._flights: dict[int, tuple[tuple[str, int, int], float, bool]] = {}
        """By slot: a step that takes long, when to do more about it, and whether the broker has answered it."""

    def deadline(self) -> float:
        """Soon while somebody works through a batch; NEVER otherwise."""
        return min([self._next, *(at for _, at in self._again.values())])

    def ring(self) -> None:
        """A child began a batch of several."""
        now = time.monotonic()
        self._busy_at = now
        if self._next == NEVER:
            self._site.board.head[board.WATCHING] = 1
            self._next = now + LOOK_S

    def work(self, now: float) -> None:
        """Takes away what is held up; stops looking when nobody has had a batch for a while."""
        self._look_again(now)
        if now < self._next:
            return
        now_ns = time.monotonic_ns()
        for slot in self._site.board.slots:
            if slot.is_watched:
                self._busy_at = now
                if slot.is_stuck(now_ns, STUCK_NS):
                    self.take_away(slot)
                elif (flight := slot.flight(now_ns - STUCK_NS)) is not None:
                    self._follow(slot, flight, now)
        self._next = now + LOOK_S
        if now - self._busy_at > QUIET_S:
            # A child that begins a batch just now has either seen WATCHING and is seen here, or will ring.
            self._site.board.head[board.WATCHING] = 0
            if not any(slot.is_watched for slot in self._site.board.slots):
                self._next = NEVER
            else:
                self._site.board.head[board.WATCHING] = 1

    def take_away(self, slot: Slot) -> None:
        """What it has finished is settled, and what it has not started goes back."""
        write_lines(slot)
        name = slot.name
        for held in slot.revoke(name):
            self._settle(slot, name, held)

    def _settle(self, slot: Slot, name: str, held: Held) -> None:
        site, flies = self._site, held.flying is not None
        verdicts = given_back(held)  # by name also beside a step on its way: it may have arrived, and another behind it
        if held.queue >= len(site.prefixes) or not (verdicts.number or flies):
            slot.arrived(name)
            return
        flying = held.step + 1 if flies else 0
        kept = [*held.started, *(held.flying or ())] if flies else []

        def settled(answer: verbs.Settled) -> None:
            slot.arrived(name)
            if answer.word == "ok" and answer.step < flying:
                self._again[slot.index] = (name, time.monotonic() + AGAIN_S)

        command = verbs.settle(site.prefixes[held.queue], name, next(site.numbers), verdicts, flying, kept)
        site.link.submit(command, settled)

    def _follow(self, slot: Slot, flight: tuple[str, int, int], now: float) -> None:
        """Asks the broker whether it has answered this step. A child on a slow network is left alone: its answer is
        sent before ours."""
        known, at, is_answered = self._flights.get(slot.index, (None, 0.0, False))
        if known == flight and now < at:
            return
        if known == flight and is_answered:
            self.take_away(slot)
            return
        self._flights[slot.index] = flight, NEVER, False
        worker, queue, step = flight

        def told(answer: verbs.Settled) -> None:
            if answer.word == "ok":
                self._flights[slot.index] = flight, time.monotonic() + AGAIN_S, answer.step >= step

        command = verbs.settle(self._site.prefixes[queue], worker, next(self._site.numbers), verdicts.NO_VERDICTS)
        self._site.link.submit(command, told)

    def _look_again(self, now: float) -> None:
        """A step that was on its way when its child was held up may have arrived since, and brought more. What ended
        meanwhile the child settles."""
        for index, (name, at) in list(self._again.items()):
            if at <= now:
                del self._again[index]
                slot = self._site.board.slots[index]
                for held in slot.revoked(name):
                    self._settle(slot, name, held._replace(verdicts=verdicts.NO_VERDICTS))


def given_back(held: Held) -> Verdicts:
    """What is finished, and the release of what is not started, in an order that keeps theirs."""
    back = released(held.waiting)
    return Verdicts(held.verdicts.number + back.number, held.verdicts.items + back.items)
