"""The shape of everything that the supervisor does beside waiting: it has a next time, and works at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from distq.broker.links import Links
from distq.config import WorkerConfig
from distq.worker.board import Board

NEVER = float("inf")


@dataclass
class Site:
    """What the services of one supervisor share. The facts come from the application, through the template."""

    config: WorkerConfig
    board: Board
    link: Links
    host: str
    prefixes: list[str]
    types: list[str]
    digest: str
    numbers: count[int] = field(default_factory=lambda: count(1))
    """For `settle`: rising over the life of the supervisor."""
    settling: Counter[str] = field(default_factory=Counter)
    """By worker: how often its verdicts are on their way from here. For the broker it holds what they are about."""


class Service:
    """One duty of the supervisor."""

    def deadline(self) -> float:
        """When `work` shall be called (monotonic seconds); NEVER for not by time."""
        return NEVER

    def work(self, now: float) -> None:
        """Does what is due. Must not block."""
