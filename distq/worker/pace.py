"""Adaptive fetch: how many messages a worker reserves, so that it starts the last of them within 10 ms.

A moving average of how long tasks take here. It follows a slower mix at once and a faster one step by step, so that a
few quick tasks never make a worker hoard slow ones.
"""

from __future__ import annotations

import random

WINDOW_S = 0.010
MOST = 128
MOST_BYTES = 1 << 20


class Pace:
    """How many to fetch next."""

    def __init__(self) -> None:
        self.average = WINDOW_S
        """Seconds that a task takes."""
        self._known: set[str] = set()
        self._last = 1

    def want(self, waiting: int = 0) -> int:
        """A number from 1 to MOST, at most twice the last batch; those that wait start before them."""
        fits = int(WINDOW_S / self.average) - waiting if self.average > 0 else MOST
        return max(1, min(MOST, fits, self._last * 2))

    def ahead(self, seats: int, most: int = MOST) -> int:
        """How many may wait while so many seats are busy: all of them start within the window."""
        fits = int(seats * WINDOW_S / self.average) if self.average > 0 else most
        return min(most, fits, self._last * 2)

    def is_new(self, type: str) -> bool:
        """Whether this type has never run here: then nothing is known of how long it takes."""
        return type not in self._known

    def note(self, types: set[str], count: int, seconds: float) -> None:
        """`count` messages took `seconds` together."""
        if count < 1:
            return
        average = seconds / count
        self.average = average if average > self.average else self.average + (average - self.average) / 4
        self._last = max(1, count) if self._known.issuperset(types) else 1
        self._known |= types


def nearly(most: int) -> int:
    """After so many tasks a child that may run `most` asks for its successor: when a tenth is left, or a little more,
    so that not all children ask at once."""
    spare = most // 10
    return most - spare - random.randint(0, spare)
