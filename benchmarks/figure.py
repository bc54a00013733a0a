"""One figure: what was measured, what stands beside it, and what is wanted of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.numbers import short


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `beside` is what it is compared with in the same run; `wanted` is a bound for `judged`."""

    what: str
    value: float
    unit: str
    beside: str = ""
    judged: float | None = None
    """The number that the bound is about, if it is not the value: mostly a ratio."""
    at_least: float | None = None
    at_most: float | None = None
    samples: tuple[float, ...] = ()
    """What each round gave, if there were several: the value is their median."""
    bare: tuple[float, ...] = ()
    """What stands beside it, in the same unit and the same rounds."""
    bare_name: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the bound is kept; a figure without one always is."""
        number = self.value if self.judged is None else self.judged
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)

    @property
    def wanted(self) -> str:
        """The bound, for people."""
        unit = self.unit if self.judged is None else "×"
        if self.at_least is not None:
            return f"≥ {self.at_least:,g} {unit}"
        return f"≤ {self.at_most:,g} {unit}" if self.at_most is not None else ""


def measured(
    what: str, unit: str, samples: Sequence[float], beside: str = "", *, at_most: float | None = None
) -> Figure:
    """The median of some rounds; a bound is about it."""
    return Figure(what, statistics.median(samples), unit, beside, at_most=at_most, samples=tuple(samples))


def compared(
    what: str,
    unit: str,
    samples: Sequence[float],
    bare: Sequence[float],
    bare_name: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    more: str = "",
) -> Figure:
    """Ours beside a counterpart of the same rounds; a bound is about the median of the rounds' ratios."""
    ratio = statistics.median(mine / base for mine, base in zip(samples, bare, strict=True))
    return Figure(
        what,
        statistics.median(samples),
        unit,
        f"{bare_name} {short(statistics.median(bare))}: {ratio:.2f} ×{more}",
        ratio if (at_least, at_most) != (None, None) else None,
        at_least,
        at_most,
        tuple(samples),
        tuple(bare),
        bare_name,
    )


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
