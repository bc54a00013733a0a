"""The control connection: it blocks on what the broker has to tell this supervisor, so each order arrives at once."""

from __future__ import annotations

import os
import signal

from distq.broker import keys
from distq.broker.links import Links
from distq.broker.scripts import encode
from distq.supervisor.isolation import Isolation
from distq.supervisor.limits import Cancel, Limits
from distq.supervisor.service import Site
from distq.supervisor.timekeeper import Timekeeper

ORDERS = {
    b"quiet": signal.SIGTSTP, b"resume": signal.SIGCONT, b"restart": signal.SIGHUP, b"stacks": signal.SIGUSR1,
    b"stop": signal.SIGTERM,
}  # fmt: skip


class Control:
    """Hears, of queues that share a place, that the time must be looked at (`tick`), that a running task
    is cancelled, that isolated tasks wait, and what people order the host: the same as by signals."""

    def __init__(
        self,
        site: Site,
        queues: list[int],
        link: Links,
        timekeeper: Timekeeper,
        isolation: Isolation,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._link, self._block_s = link, site.block_s
        self._time, self._isolation = timekeeper, isolation
        self._places = {keys.key(site.prefixes[queue], "CONTROL", site.host): queue for queue in queues}
        self._isolated = [place for place, queue in isolation.places.items() if queue in queues]

    def listen(self) -> None:
        """Waits for the next order."""
        isolated = self._isolated if self._isolation.listens else ()
        self._link.submit(encode("BZPOPMIN", *self._places, *isolated, self._block_s), self._heard)

    def _heard(self, reply: list[bytes] | None) -> None:
        place = reply[0].decode() if reply else ""
        if place in self._isolation.places:
            self._isolation.hear()
        elif reply is not None and place in self._places:
            word, *order = reply[1].split(b" ", 3)
            if word == b"tick":
                self._time.tick(self._places[place])
            elif word == b"cancel" and len(order) == 3:
                how, worker, entry = order
                name = worker.decode("utf-8", "replace")
                self._limits.cancel(Cancel(self._places[place], name, entry, how == b"kill"))
            elif word in ORDERS:
                os.kill(os.getpid(), ORDERS[word])
        self.listen()
