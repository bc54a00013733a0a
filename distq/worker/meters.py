"""Counters on the status board: by type and status, and a histogram of durations. They outlive the child."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from threading import Lock

from distq.run_times import BUCKETS, STATUSES, RunTimes
from distq.worker.board import STRIDE, TYPES, Board, Slot


class Meters:
    """A child's counters in its slot: by type and status, and a histogram of durations."""

    def __init__(self, slot: Slot, types: Sequence[str], lock: Lock | None = None) -> None:
        """`lock`: between the threads of the child, if there are several."""
        self._lock = lock
        self._cells, self._sums = slot.cells, slot.sums
        self._base = {name: min(index, TYPES) * STRIDE for index, name in enumerate(types)}

    def __call__(self, type: str) -> Callable[[str, float], None]:
        """Counts an ended attempt of this type: (status, seconds)."""
        base = self._base[type]
        place = {status: base + index for index, status in enumerate(STATUSES)}
        buckets, total = base + len(STATUSES), base + STRIDE - 1
        cells, sums, shortest = self._cells, self._sums, BUCKETS[0]

        def count(status: str, seconds: float) -> None:
            cells[place[status]] += 1
            cells[buckets if seconds <= shortest else buckets + bisect_left(BUCKETS, seconds)] += 1
            sums[total] += seconds

        return count if self._lock is None else _guarded(count, self._lock)


def _guarded(count: Callable[[str, float], None], lock: Lock) -> Callable[[str, float], None]:
    def guarded(status: str, seconds: float) -> None:
        with lock:
            count(status, seconds)

    return guarded


def read_meters(board: Board, position: int) -> RunTimes:
    """Adds up the counters of the type at this position over all slots."""
    start = min(position, TYPES) * STRIDE
    end, split = start + STRIDE - 1, len(STATUSES)
    counts = tuple(map(sum, zip(*(slot.cells[start:end].tolist() for slot in board.slots), strict=True)))
    return RunTimes(counts[:split], counts[split:], sum(slot.sums[end] for slot in board.slots))
