"""What a loop's attempts are given, without a worker around them."""

from __future__ import annotations

from collections.abc import Sequence

from distq.worker.hand import Done, Item
from distq.worker.units import Ended


class Given:
    """A seat for each item."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self.ended: list[Done] = [b""] * len(items)
        """By seat: the verdict, or those of a unit."""

    def take(self, seat: int, now_ns: int) -> Item | None:
        """It begins."""
        return self._items[seat]

    def give(self, seat: int, start_ns: int, ended: Ended) -> None:
        """It has ended."""
        self.ended[seat] = ended[1]

    def fail(self, error: BaseException) -> None:
        """Never."""
        raise error
