"""`history=`: how many completed tasks of a type are kept for people who look, or for how long. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from distq.durations import format_duration, positive_ms
from distq.errors import ConfigurationError

MOST = 100_000
LONGEST_MS = 400 * 86_400_000

History = int | str | timedelta
"""So many, or those of so much time: `1000`, `"7d"`, a timedelta; 0: none."""


class Kept(NamedTuple):
    """Both bounds: the last `most`, and none that ended longer ago."""

    most: int
    ms: int

    def __str__(self) -> str:
        return f"the last {self.most:,}" if self.ms == LONGEST_MS else format_duration(self.ms / 1000)


def kept(value: object) -> Kept:
    """What a `history=` means. Raises ConfigurationError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST:
        return Kept(value, LONGEST_MS)
    if isinstance(value, timedelta) or (isinstance(value, str) and not value.strip().isdecimal()):
        ms = positive_ms(value, "history")
        if ms <= LONGEST_MS:
            return Kept(MOST, ms)
    raise ConfigurationError(
        f"history={value!r:.80}: give a number of completed tasks, from 0 to {MOST:,}, or a time, up to 400 days, "
        'such as "7d"'
    )
