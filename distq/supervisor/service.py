"""The shape of everything that the supervisor does beside waiting: it has a next time, and works at it."""

from __future__ import annotations

import selectors
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from distq.broker import keys
from distq.broker.links import Links
from distq.config import WorkerConfig
from distq.message import type_of_lane
from distq.supervisor.crews import LOOPS, THREADS, Crew
from distq.worker.board import Board

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

NEVER = float("inf")

Reason = Literal["crash", "time_limit", "cancelled", "recycled", "reload"]
"""Why a process was replaced: it died; it was ended for a task; it was worn out, or of old code."""

BLOCK_S = 25
"""Longest wait at the broker for news."""


@dataclass
class Site:
    """What the services of one supervisor share. The facts come from the application, through the template."""

    config: WorkerConfig
    board: Board
    link: Links
    host: str
    prefixes: list[str]
    types: list[str]
    """All that the application declares."""
    crews: list[Crew]
    groups: list[list[int]]
    """Numbers of queues of which the broker can be asked in one call: all, but in a cluster each for itself."""
    names: list[str]
    """Of types, in the order of their counters on the board."""
    server: str = ""
    """The broker as it was at the start, such as `valkey 9.1.0`."""
    replaced: Counter[Reason] = field(default_factory=Counter)
    """How often processes were, since the start."""
    former: list[Crew] = field(default_factory=list)
    """Those of code that is not used any more, while there are children of it."""
    numbers: count[int] = field(default_factory=lambda: count(1))
    """For `settle`: rising over the life of the supervisor."""

    @property
    def taken(self) -> set[str]:
        """The types that its processes run, and do not leave to others."""
        shared = (lane for crew in self.crews for share in crew.shares for lane in share.lanes)
        return {type_of_lane(lane) for lane in (*shared, *(lane for crew in self.crews for lane in crew.types))}

    @property
    def queues(self) -> list[str]:
        """Their names, in the order of the prefixes."""
        return [keys.queue_of(prefix) for prefix in self.prefixes]

    def crew_of(self, slot: int) -> int:
        """Which processes that of a place belongs to: an index of `crews`."""
        return LOOPS if self.config.is_loop(slot) else THREADS

    @property
    def block_s(self) -> int:
        """How long a connection waits for news: with more of them each waits longer."""
        return BLOCK_S * len(self.groups)


class Selector(selectors.DefaultSelector):
    """The one of the loop. A connection to the broker that breaks is closed before the loop looks who has which number:
    whoever gets that number in the same turn takes its place."""

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        """See `selectors`."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if number in self.get_map():
            self.unregister(number)
        return super().register(fileobj, events, data)


class Service:
    """One duty of the supervisor."""

    def deadline(self) -> float:
        """When `work` shall be called (monotonic seconds); NEVER for not by time."""
        return NEVER

    def work(self, now: float) -> None:
        """Does what is due. Must not block."""

    def finish(self) -> None:
        """The host ends, and no child is left: what is to be said to the broker before."""
