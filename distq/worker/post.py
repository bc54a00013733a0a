"""Where a worker works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distq.worker.board import Board, Slot
from distq.worker.line import Way
from distq.worker.shares import Share


@dataclass(frozen=True)
class Post:
    """What it shares with its supervisor, and its settings."""

    board: Board
    slot: Slot
    host: str
    info: str
    queues: Sequence[str]
    lease_ms: int
    poke: int
    """Readable end of the supervisor's pipe: a byte means "look at the board", the end means that it is gone."""
    bell: int
    """Writable end of the pipe that wakes the supervisor."""
    types: Sequence[str]
    digest: str
    names: Sequence[str]  # of types, in the order of their counters
    threads: int = 1
    coroutines: int = 0
    max_tasks: int = 0  # so many it runs at most; 0: any number
    ways: Sequence[Way] = ()  # how it takes part in each queue; empty: in all in the same way
    shares: Sequence[Share] = ()
    write_lines: Callable[[Slot], None] = lambda slot: None  # of the log, that are noted on the board
