"""Isolated tasks: they were lost with their host for the second time, when each ran alone in its process, but beside
others on that host. One of them may be what kills whole hosts, so it runs while its host runs nothing else: then the
next death of that is surely its own. docs/decisions/0027.
"""

from __future__ import annotations

import logging
import time

from distq.broker import keys, verbs
from distq.broker.scripts import encode
from distq.supervisor.children import Children
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board

logger = logging.getLogger("distq.supervisor")

PATIENCE_S, MOST_PATIENCE_S = 0.5, 600.0
"""So long the other processes are waited for at first, and at most."""
REST = 10
"""After waiting in vain, they work for so many times as long before the next try."""


class Isolation(Service):
    """1. hears from the control connection that an isolated task waits;
    2. lets all processes finish what they run, and starts no others;
    3. has one process forked, which takes isolated tasks, one after the other, and ends when there is none;
    4. fills the places again.

    Who runs long tasks is not kept waiting for them: after its patience it gives up, tells others, and tries later.
    """

    def __init__(self, site: Site, children: Children) -> None:
        self._site, self._children = site, children
        self._place = len(site.board.slots) - 1
        self._gives_up_at = self._rests_until = NEVER
        self._patience_s = PATIENCE_S
        self._is_wanted = self._is_running = False
        self.places = {
            keys.key(prefix, "WAKE_GROUP", keys.ISOLATED): queue for queue, prefix in enumerate(site.prefixes)
        }

    @property
    def listens(self) -> bool:
        """Whether a marker for isolated tasks may be taken: it is gone for others then."""
        is_busy = self._gives_up_at != NEVER or self._is_running or self._rests_until != NEVER
        return not (is_busy or self._children.is_quiet or self._children.is_ending)

    def deadline(self) -> float:
        """When the patience or the rest is over."""
        return min(self._gives_up_at, self._rests_until)

    def hear(self) -> None:
        """One waits."""
        if self.listens:
            self._is_wanted, self._gives_up_at = True, time.monotonic() + self._patience_s
        else:  # another connection was faster
            self._tell_others()

    def work(self, now: float) -> None:
        """Goes on as far as it can."""
        if self._children.is_ending or (self._children.is_quiet and not self._is_running):
            if self._gives_up_at != NEVER:
                self._tell_others()
            self._gives_up_at = self._rests_until = NEVER
            self._is_wanted, self._children.only = False, None
            return
        if now >= self._rests_until:
            self._rests_until = NEVER
            self._listen_again()
        if self._is_wanted and self._children.all_ready:  # not before the host has started
            self._is_wanted, self._children.only = False, self._place
            self._order(board.DRAIN)
        if self._gives_up_at != NEVER:
            if self._children.only is not None and not self._children.alive:
                self._begin(now)
            elif now >= self._gives_up_at:
                self._give_up(now)
        elif self._is_running and self._children.is_free(self._place):
            self._end(now)

    def _begin(self, now: float) -> None:
        self._gives_up_at, self._patience_s, self._is_running = NEVER, PATIENCE_S, True
        self._order(board.RUN)
        self._children.start_in(self._place)
        self._children.work(now)

    def _give_up(self, now: float) -> None:
        self._gives_up_at, self._is_wanted, self._children.only = NEVER, False, None
        self._order(board.RUN)
        self._rest(now)
        self._patience_s = min(2 * self._patience_s, MOST_PATIENCE_S)

    def _end(self, now: float) -> None:
        self._is_running, self._children.only = False, None
        if not self._site.board.slots[self._place].words[board.NAME_END]:  # it could not even register
            self._rest(now)
        else:
            self._listen_again()

    def _listen_again(self) -> None:
        """The control connection blocks without the marker for isolated tasks: an order of our own ends that."""
        place = keys.key(self._site.prefixes[0], "CONTROL", self._site.host)
        for command in (encode("ZADD", place, 0, "listen"), encode("PEXPIRE", place, 60_000)):
            self._site.link.submit(command, lambda reply: None, lambda: None)

    def _rest(self, now: float) -> None:
        """Others may take what this host could not."""
        self._rests_until = now + REST * self._patience_s
        self._tell_others()

    def _order(self, order: int) -> None:
        self._children.order(order)

    def _tell_others(self) -> None:
        """The marker that was taken is set again, if it should be."""
        for prefix in self._site.prefixes:
            self._site.link.submit(verbs.restore(prefix, ()), lambda number: None, lambda: None)
