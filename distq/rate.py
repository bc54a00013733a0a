"""Rates such as "10/s" or "100/m burst 20", and the exact model of the limiter that the scripts implement. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from distq.errors import ConfigurationError

MAX_BURST = 1_000_000

PER_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Units of time."""
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smhd])(?:\s+burst\s+(\d+))?\s*\Z")


@dataclass(frozen=True)
class Rate:
    """`count` per `per_ms`, with up to `burst` at once after a pause."""

    count: float
    per_ms: int
    burst: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """The rate in a text. The default burst is a tenth of a second's worth, at least 1.

        Raises ConfigurationError that says what is allowed.
        """
        match = _TEXT.match(text) if isinstance(text, str) else None
        count = float(match[1]) if match else 0.0
        if match is None or not 0 < count <= 1e9:
            raise ConfigurationError(
                f"rate={text!r:.80} is no rate: give a number per s, m, h or d, "
                'such as "10/s", "0.5/s" or "100/m burst 20"'
            )
        per_ms = PER_MS[match[2]]
        burst = int(match[3]) if match[3] is not None else min(max(1, math.floor(count * 100 / per_ms)), MAX_BURST)
        if not 1 <= burst <= MAX_BURST:
            raise ConfigurationError(f"rate={text!r:.80}: a burst is at least 1 and at most {MAX_BURST}")
        return cls(count, per_ms, burst)

    @property
    def interval_us(self) -> float:
        """Microseconds from one token to the next."""
        return self.per_ms * 1000 / self.count

    @property
    def declared(self) -> str:
        """As the scripts keep it: "interval_us burst"."""
        return f"{self.interval_us:.15g} {self.burst}"

    @classmethod
    def read(cls, declared: str) -> Rate | None:
        """The rate of such a text, per the smallest unit in which it is at least 1; None for what is none."""
        try:
            interval_us, burst = map(float, declared.split())
            unit = next((ms for ms in PER_MS.values() if ms * 1000 >= interval_us), PER_MS["d"])
            return cls(float(f"{unit * 1000 / interval_us:.6g}"), unit, int(burst))
        except (ValueError, ZeroDivisionError, OverflowError):
            return None

    @property
    def short(self) -> str:
        """For people: without the burst, if it is the default."""
        text = str(self)
        plain = text.partition(" ")[0]
        return plain if Rate.parse(plain).burst == self.burst else text

    def __str__(self) -> str:
        unit = next(name for name, ms in PER_MS.items() if ms == self.per_ms)
        return f"{self.count:.15g}/{unit} burst {self.burst}"


class Grant(NamedTuple):
    """What the limiter says to a wish."""

    granted: int
    tat_us: float
    next_us: float
    """When the next token is there."""


def grant(rate: Rate, tat_us: float, now_us: float, wanted: int) -> Grant:
    """The generic cell rate algorithm (ITU-T I.371), which equals a token bucket of size `burst`.

    `tat_us` is the theoretical arrival time: when the next token would come if all were taken evenly. It is never
    further ahead than a whole burst, unless the clock was set back.

        tat' = max(tat, now);  free = floor((now + burst · interval - tat') / interval)
    """
    interval = rate.interval_us
    tat_us = min(tat_us, now_us + rate.burst * interval)
    tat = max(tat_us, now_us)
    free = max(0, math.floor((now_us + rate.burst * interval - tat) / interval + 1e-9))
    taken = min(free, wanted)
    tat = tat + taken * interval if taken else tat_us
    return Grant(taken, tat, max(tat, now_us) - (rate.burst - 1) * interval)
