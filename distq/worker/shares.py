"""Types of which a process runs only so many at a time, although it has more threads or coroutines: `slots`.

Each has a lane and a group of its own. So a process asks for no more of it than there is room for, and is not woken for
it while there is none: what waits is with the broker, for others, and nothing waits here behind the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from distq.broker import keys
from distq.message import family, type_of
from distq.worker.hand import Hand


class Share(NamedTuple):
    """How many of a type."""

    group: str
    """The name of all who announce just this type."""
    lanes: tuple[str, ...]
    """The type in each of its versions."""
    most: int
    queue: str
    """In which it has its lane from the start. Elsewhere it gets one when it is met."""

    @classmethod
    def read(cls, told: Sequence[Any]) -> Share:
        """From JSON."""
        group, lanes, most, queue = told
        return cls(group, tuple(lanes), most, queue)


class Shares:
    """What a process holds of such types: it runs, or waits for a seat. False if there are none."""

    def __init__(self, shares: Sequence[Share] = ()) -> None:
        self._all = shares
        self._by_lane = {lane: share for share in shares for lane in share.lanes}
        self._held: dict[tuple[bytes, int], str] = {}
        """(entry, fence) -> group."""
        self.free = {share.group: share.most for share in shares}
        """By group how many more may be fetched, where that is any."""
        self.full: frozenset[str] = frozenset()
        """The other groups."""

    def __bool__(self) -> bool:
        return bool(self._all)

    def at(self, prefix: str) -> list[tuple[str, bool, tuple[str, ...]]]:
        """For `register` in a queue."""
        queue = family(keys.queue_of(prefix))
        return [(share.group, share.queue == queue, share.lanes) for share in self._all]

    def told(self, digest: str) -> str:
        """For a step: the worker's group, and what there is room for (parts/shares.lua)."""
        parts = [f"{share.group}={self.free.get(share.group, 0)}={','.join(share.lanes)}" for share in self._all]
        return " ".join((digest, *parts))

    def take(self, entries: Iterable[bytes], messages: Iterable[bytes], fence: int) -> None:
        """What a step has brought."""
        for number, (entry, message) in enumerate(zip(entries, messages, strict=True), fence):
            share = self._by_lane.get(type_of(message or b""))
            if share is not None:
                self._held[entry, number] = share.group
        self._count()

    def look(self, hand: Hand) -> bool:
        """Forgets what the process does not hold any more; whether there is room for a type of which it was full."""
        if not self._held:
            return False
        here = {(item[0], item[2]) for item in chain(hand.running, hand.waiting) if item is not None}
        self._held = {key: group for key, group in self._held.items() if key in here}
        before = self.full
        self._count()
        return not self.full.issuperset(before)

    def _count(self) -> None:
        held = list(self._held.values())
        left = {share.group: share.most - held.count(share.group) for share in self._all}
        self.free = {group: number for group, number in left.items() if number > 0}
        self.full = frozenset(left.keys() - self.free.keys())
