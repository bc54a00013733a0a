"""Counts whether every live task is in a list, and puts back what is in none.

No script leaves a task so. But a server that evicts keys does, or a person who deletes one. Once per lease the keeper
of a queue compares two numbers. When they differ twice in a row it reads all lists, page by page between its other
duties, and gives what it has not seen to `restore`, which looks again before it acts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from distq.broker import keys, together, verbs
from distq.broker.ledger import placed
from distq.broker.reading import scan, tail
from distq.broker.scripts import encode
from distq.broker.verbs import Command, Depths
from distq.supervisor.arrivals import Arrivals
from distq.supervisor.service import NEVER, Service, Site

logger = logging.getLogger("distq.supervisor")

RESTORED_AT_ONCE = 20
"""`restore` looks through the lists for each of them."""

Search = Generator["Command[Any] | bytes", Any, int]


class Audit(Service):
    """The look at all queues of which this supervisor is the keeper."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._every_s = site.config.lease_ms / 1000
        self._next = time.monotonic() + self._every_s
        self._differs = [False for _ in site.prefixes]
        self._busy: set[int] = set()
        """Queues that are being asked or searched."""
        self._arrivals = Arrivals(site)
        self.is_keeper = [False for _ in site.prefixes]

    def deadline(self) -> float:
        """Once per lease, for a keeper."""
        return self._next if any(self.is_keeper) else NEVER

    def work(self, now: float) -> None:
        """Asks for the numbers."""
        if now < self._next:
            return
        self._next = now + self._every_s
        for group in self._site.groups:
            asked = [queue for queue in group if self.is_keeper[queue] and queue not in self._busy]
            for queues in together.parts(asked):
                self._ask(queues)

    def _ask(self, queues: Sequence[int]) -> None:
        self._busy.update(queues)

        def answered(found: list[Depths | None]) -> None:
            self._busy.difference_update(queues)
            for queue, depths in zip(queues, found, strict=True):
                if depths is not None:
                    self._compare(queue, depths)

        command = together.depths([self._site.prefixes[queue] for queue in queues])
        self._site.link.submit(command, answered, partial(self._busy.difference_update, queues))

    def _compare(self, queue: int, depths: Depths) -> None:
        if depths.moving:
            self._arrivals.look(queue)
        differs = placed(depths) != depths.live
        if differs and self._differs[queue]:
            self._busy.add(queue)
            self._advance(queue, search(self._site.prefixes[queue]), None)
            differs = False
        self._differs[queue] = differs

    def _advance(self, queue: int, steps: Search, reply: Any) -> None:
        """One command after the other, each behind whatever else the supervisor has to say."""
        try:
            command = steps.send(reply)
        except StopIteration as end:
            self._busy.discard(queue)
            if end.value:
                logger.warning(
                    "%d tasks were in no list (does the broker evict keys?): they are queued again", end.value
                )
            return
        self._site.link.submit(command, partial(self._advance, queue, steps), partial(self._busy.discard, queue))


def search(prefix: str) -> Search:
    """The commands that find and put back what is in no list; returns how many were put back.

    Only hashes of what was seen are kept: 60 bytes per waiting task, while it lasts.
    """
    seen: set[int] = set()
    for place, command in (yield from _lists(prefix)):
        if command == "ZSCAN":
            yield from scan(command, place, lambda page: seen.update(map(hash, page[::2])))
        else:
            yield from tail(place, lambda page: seen.update(map(hash, page)))
    missing, cursor = [], ""
    while cursor != "0":
        cursor, entries = yield verbs.entries(prefix, cursor or "0")
        missing += [entry for entry, _ in entries if hash(entry) not in seen]
    restored = 0
    for start in range(0, len(missing), RESTORED_AT_ONCE):
        restored += yield verbs.restore(prefix, missing[start : start + RESTORED_AT_ONCE])
    return restored


def _lists(prefix: str) -> Generator[bytes, Any, list[tuple[str, str]]]:
    """Every place in which an entry can be, with the command that reads it."""
    places = [(keys.key(prefix, "DELAYED"), "ZSCAN")]
    for level in keys.PRIORITIES:
        places += [(keys.key(prefix, name, level), "LRANGE") for name in ("QUEUE", "SUSPECTS")]
        lanes = yield encode("SMEMBERS", keys.key(prefix, "LANES_AT", level))
        places += [(keys.key(prefix, "LANE", f"{level}:{lane.decode()}"), "LRANGE") for lane in lanes]
    workers = yield encode("ZRANGE", keys.key(prefix, "LEASES"), 0, -1)
    return places + [(keys.key(prefix, "PROCESSING", worker.decode()), "LRANGE") for worker in workers]
