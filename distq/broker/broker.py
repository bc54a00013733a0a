"""The door to the broker for one application: which connection, which queue, which key prefix.

The verbs themselves are in `verbs.py`; here they meet connections. It owns no state of tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from distq.broker import keys, reach, room, verbs
from distq.broker.address import mask
from distq.broker.connect import LATE_S, PASSING, ServerError
from distq.broker.durable import Durable
from distq.broker.forward import MOST_MOVES, where
from distq.broker.scripts import Reply, encode
from distq.broker.spread import exchange
from distq.errors import BrokerUnavailable, LayoutMismatch

T = TypeVar("T")

WAIT_SLICE_S = 20.0
"""Longest single block of a waiting `get()`; in between it looks again, in case the result's time ended unseen."""

RECONNECT_S = 0.1
"""Pause of a waiting `get()` that cannot wait at the broker: no connection, a failover, a full broker."""


class Broker:
    """Runs verbs for one application over connections that its threads share. Safe across forks."""

    def __init__(self, app: str, url: str, timeout: float) -> None:
        self.app, self.url, self.timeout = app, url, timeout
        self.exchange = exchange(url, timeout)
        self.durable = Durable(self.exchange)
        self.opened: set[str] = set()

    @property
    def masked_url(self) -> str:
        """The address without secrets."""
        return mask(self.url)

    def prefix(self, queue: str) -> str:
        """What the keys of this queue begin with."""
        return keys.prefix(self.app, queue)

    def open(self, queue: str) -> str:
        """The queue's prefix, after making the queue known and checking the layout once per process.

        Raises LayoutMismatch when an incompatible release owns the keys.
        """
        if queue not in self.opened:  # several threads may do it at once: none waits for another's time limit
            until = self.exchange.deadline()
            self.exchange.request(encode("SADD", keys.KNOWN_QUEUES, keys.known_queue(self.app, queue)), until)
            check_layout(self.exchange.request(encode("HGET", keys.key(self.prefix(queue), "META"), "layout"), until))
            self.opened.add(queue)
        return self.prefix(queue)

    def run(self, command: verbs.Command[T]) -> T:
        """Runs a verb over a shared connection; sends it again if the reply was lost."""
        return self.exchange.run(command)

    def known_queues(self) -> list[str]:
        """The queues of this application that the broker knows, sorted."""
        return queues_among(self.exchange.request(KNOWN), self.app)

    def find(self, id: str, queues: Iterable[str], waits: bool = False) -> tuple[str, verbs.Look]:
        """Looks for a task in several queues; the first that knows it wins."""
        names, until = list(dict.fromkeys(queues)), self.exchange.deadline()
        looks = [self.exchange.run(verbs.look(self.prefix(queue), id, waits), until) for queue in names]
        pairs = list(zip(names, looks, strict=True))
        for _ in range(MOST_MOVES):
            found = where(pairs)
            if not isinstance(found, str):
                return found or pairs[0]
            pairs = [(found, self.exchange.run(verbs.look(self.prefix(found), id, waits), until))]
        return pairs[0]

    def wait_result(self, queue: str, id: str, timeout: float) -> bytes | None:
        """Blocks until the task has a result, at most `timeout` seconds (and never longer than a slice).

        Call `look` with `waits` first. The answer is moved onto itself: it stays, and any number of waiters get it.
        """
        place = keys.key(self.prefix(queue), "ANSWER", id)
        reply: bytes | None = self._block(
            place, lambda slice_s: encode("BLMOVE", place, place, "LEFT", "LEFT", f"{slice_s:.3f}"), timeout
        )
        return reply

    def wait_room(self, queue: str, type: str, timeout: float) -> None:
        """Blocks until there may be room for a call that was refused, at most for so long (or a slice)."""
        place = room.place(self.prefix(queue), type)
        self._block(place, lambda slice_s: room.wait(place, slice_s), timeout)

    def _block(self, place: str, command: Callable[[float], bytes], timeout: float) -> Reply:
        """A blocking command on a connection of its own; None if nothing came, or the broker is away for a while."""
        slice_s = max(0.001, min(timeout, reach.patience(self.url, WAIT_SLICE_S)))
        exchange = self.exchange.at(place)
        try:
            wire = exchange.take()
        except BrokerUnavailable:
            time.sleep(min(RECONNECT_S, timeout))
            return None
        try:
            wire.send(command(slice_s))
            reply = wire.read(slice_s + LATE_S)
        except ServerError as error:
            if error.code in reach.MOVED:
                wire.close()
            else:
                exchange.give(wire)
            if error.code in (*PASSING, "OOM"):
                time.sleep(min(RECONNECT_S, timeout))
                return None
            raise BrokerUnavailable(f"the broker at {self.masked_url} refused: {error}") from error
        except BrokerUnavailable:  # whoever waits looks again, and that bears a broker that is away for a while
            return None
        except BaseException:
            wire.close()
            raise
        exchange.give(wire)
        return reply


KNOWN = encode("SMEMBERS", keys.KNOWN_QUEUES)
"""Asks what exists on the broker."""


def queues_among(members: Iterable[bytes], app: str) -> list[str]:
    """The queues of this application among all that exist, sorted."""
    pairs = (member.decode("utf-8", "replace").partition("/") for member in members)
    return sorted(queue for name, _, queue in pairs if name == app)


def check_layout(found: bytes | None) -> None:
    """Raises LayoutMismatch unless the broker's layout is ours, or there is none yet."""
    if found is not None and found != b"%d" % keys.LAYOUT:
        raise LayoutMismatch(
            f"the keys in this broker have layout {found.decode('utf-8', 'replace')}, this release of distq knows "
            f"layout {keys.LAYOUT}: run the release that wrote them, or use another database or application name"
        )
