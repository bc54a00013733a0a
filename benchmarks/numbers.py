"""Arithmetic on what was measured. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Repetitions of one figure."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest."""
    return Spread(statistics.median(values), min(values), max(values))


def scaled(rate: float, seconds: float, least: int, most: int) -> int:
    """How many operations take about `seconds` at `rate` per second: two digits, and within bounds."""
    number = rate * seconds
    if number >= 100:
        digits = len(str(int(number))) - 2
        number = round(number / 10**digits) * 10**digits
    return max(least, min(most, int(number)))


def rate_of(samples: Sequence[tuple[float, int]], total: int, low: float = 0.1, high: float = 0.95) -> float:
    """Per second between a low and a high part of `total`, from (time, done) in order: without start and end.

    If it went too fast for two samples in between, the last sample before them is the beginning.
    """
    last = next((index for index, (_, done) in enumerate(samples) if done >= total * high), len(samples) - 1)
    first = next(index for index, (_, done) in enumerate(samples) if done >= total * low or index == last)
    if first == last and first > 0:
        first -= 1
    (begun, before), (ended, after) = samples[first], samples[last]
    if ended <= begun:
        raise ValueError("one sample says nothing about a rate")
    return (after - before) / (ended - begun)


def short(value: float) -> str:
    """For people: three digits that say something, thousands with commas."""
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value / 10**digits) * 10**digits:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
