"""Suspects on a host whose processes have several threads: each runs in a process of its own for a while.

The others are never empty while there is work, and one that waited until it is would keep its threads idle behind the
slowest of them. So a suspect gets one more process (`distq.worker.alone`), and for as long as that lives one of the
others lends it a seat: never more tasks run than -p × -t. docs/decisions/0026.
"""

from __future__ import annotations

import time
from functools import partial

from distq.broker import keys, verbs
from distq.broker.links import Links
from distq.broker.scripts import encode
from distq.supervisor.children import Children
from distq.supervisor.processes import next_pause
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot

PATIENCE_S = 0.1
"""After so long without a seat the other hosts hear of the suspect too."""


class Suspects(Service):
    """The seats of suspects.

    1. listens for a suspect while one more process may be started;
    2. asks the processes for a seat: the first that has one free lends it;
    3. has a process forked, which runs suspects until there is none, and then returns the seat.
    """

    def __init__(self, site: Site, children: Children, link: Links) -> None:
        self._site, self._children, self._link = site, children, link
        self._listening: set[int] = set()
        config = site.config
        self._places = site.board.slots[config.children : config.successors]
        self._lender: dict[int, int] = {}
        """Which position lends its seat, by the place that has it."""
        self._newest: tuple[Slot, int] | None = None
        """The place whose process has not fetched yet, and how often those before it had."""
        self._is_wanted = self._is_over = False
        self._requests = 0
        self._listen_at, self._call_at, self._pause = 0.0, NEVER, 0.0

    def deadline(self) -> float:
        """When the others are to be told, or it listens again after a failure."""
        return min(self._call_at, self._listen_at if self._may_listen() else NEVER)

    def work(self, now: float) -> None:
        """Notices what has changed on the board, and goes on."""
        if self._children.is_ending:
            self._stop()
            return
        self._take_seats()
        for place in [place for place in self._lender if self._children.is_free(place)]:
            self._ended(place, now)
        if self._newest and self._newest[0].words[board.FETCHES] != self._newest[1]:
            self._newest = None
        if now >= self._call_at:
            self._call_others()
        if now >= self._listen_at and self._may_listen():
            for group, queues in enumerate(self._site.groups):
                if group not in self._listening:
                    self._listening.add(group)
                    places = [keys.key(self._site.prefixes[queue], "WAKE_ALONE") for queue in queues]
                    self._link.submit(encode("BZPOPMIN", *places, self._site.block_s), partial(self._heard, group))

    def _may_listen(self) -> bool:
        """A marker that we take is gone for the others, until a step or we ourselves set it again."""
        return len(self._listening) < len(self._site.groups) and self._may_begin()

    def _may_begin(self) -> bool:
        is_busy = self._is_wanted or self._newest is not None
        return not (is_busy or self._children.is_quiet) and len(self._lender) < len(self._places)

    def _heard(self, group: int, reply: list[bytes] | None) -> None:
        self._listening.discard(group)
        if reply is None or self._is_over:
            return
        if not self._may_begin():  # another group was faster
            self._mark_again()
        else:
            self._is_wanted, self._call_at = True, time.monotonic() + PATIENCE_S
            self._requests += 1
            self._ask(self._requests)

    def _ask(self, request: int) -> None:
        """0: no more."""
        self._site.board.head[board.WANTED] = request
        self._children.poke_all()

    def _take_seats(self) -> None:
        for position, slot in enumerate(self._children.current):
            for _ in range(self._children.take_lent(slot)):
                if self._is_wanted:
                    self._begin(position)
                else:  # two were asked, and both had one
                    self._children.give_seats(position, 1)

    def _begin(self, position: int) -> None:
        place = next(place for place in self._places if place.index not in self._lender)
        self._is_wanted, self._call_at = False, NEVER
        self._ask(0)
        self._lender[place.index] = position
        self._newest = place, place.words[board.FETCHES]
        self._children.start_in(place.index)

    def _ended(self, index: int, now: float) -> None:
        self._children.give_seats(self._lender.pop(index), 1)
        place = self._site.board.slots[index]
        if self._newest and self._newest[0] is place:
            self._newest = None
        if place.words[board.NAME_END]:
            self._pause = 0.0
        else:  # it could not even register: the marker is still taken
            self._pause = next_pause(self._pause, 0.0)
            self._listen_at = self._call_at = now + self._pause

    def _call_others(self) -> None:
        self._call_at = NEVER
        self._mark_again()

    def _mark_again(self) -> None:
        """For somebody else."""
        for prefix in self._site.prefixes:
            self._site.link.submit(verbs.restore(prefix, ()), lambda number: None, lambda: None)

    def _stop(self) -> None:
        """At the end the others are left to it, also to what we may just have heard."""
        if not self._is_over:
            self._is_over = True
            self._link.close()
            self._ask(0)
            self._call_others()
        self._call_at = self._listen_at = NEVER
