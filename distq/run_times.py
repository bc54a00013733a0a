"""How long attempts took, as numbers of them in buckets: what the status board counts, and the broker adds up."""

from __future__ import annotations

from typing import NamedTuple

STATUSES = ("success", "retry", "failed")
"""How an attempt ended."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Upper bounds of the buckets, in seconds. One more has what took longer."""


class RunTimes(NamedTuple):
    """The ended attempts of a type."""

    statuses: tuple[int, ...] = (0,) * len(STATUSES)
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    sum_s: float = 0.0

    @property
    def number(self) -> int:
        """How many there are."""
        return sum(self.statuses)

    @property
    def mean_s(self) -> float | None:
        """None: there are none."""
        return self.sum_s / self.number if self.number else None

    def quantile(self, part: float) -> float | None:
        """Seconds within which this part of them ended, as if they were spread evenly over their bucket; of what took
        longer than the last bound no more is known than that. None: there are none."""
        rank, below, lower = part * sum(self.buckets), 0, 0.0
        if not rank:
            return None
        for number, upper in zip(self.buckets, BUCKETS, strict=False):
            if below + number >= rank:
                return lower + (upper - lower) * (rank - below) / number
            below, lower = below + number, upper
        return BUCKETS[-1]

    def plus(self, other: RunTimes, sign: int = 1) -> RunTimes:
        """Both together; with a `sign` of -1 what has come since the other one."""
        return RunTimes(
            tuple(mine + sign * its for mine, its in zip(self.statuses, other.statuses, strict=True)),
            tuple(mine + sign * its for mine, its in zip(self.buckets, other.buckets, strict=True)),
            self.sum_s + sign * other.sum_s,
        )
