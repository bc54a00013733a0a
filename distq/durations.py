"""Durations and sizes as people write them: `10s`, `5m`, `2d`, `512MB`. Pure."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from distq.errors import ConfigurationError

Duration = float | timedelta | str
"""Seconds, a timedelta, or text such as "90s", "5m", "2h", "7d"."""

MAX_TTL_S = 366 * 86400

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*\Z")


def seconds(value: object, what: str) -> float:
    """Seconds in a number (of seconds), a timedelta, or text such as "10s", "1.5m", "2h", "7d", "500ms".

    `what` names the setting in the error. Raises ConfigurationError for anything else, and below 0.
    """
    number: float | None = None
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) < 1e15 else math.inf
    elif isinstance(value, str) and (match := _TEXT.match(value)):
        number = float(match[1]) * _UNITS[match[2] or "s"]
    if number is None or not math.isfinite(number) or number < 0:
        raise ConfigurationError(
            f'{what}={value!r:.80} is no duration: give seconds, a timedelta, or text such as "10s", "5m", "2h", "7d"'
        )
    return number


def ttl_s(value: object, what: str = "result_ttl") -> int:
    """A time to live in whole seconds; anything above 0 lives at least one."""
    number = seconds(value, what)
    if number > MAX_TTL_S:
        raise ConfigurationError(f"{what}={value!r:.80} is more than a year")
    return max(1, round(number)) if number > 0 else 0


def positive_ms(value: object, what: str) -> int:
    """Milliseconds; at least one."""
    number = round(seconds(value, what) * 1000)
    if number <= 0:
        raise ConfigurationError(f"{what}={value!r:.80}: give a time above 0")
    return number


def format_duration(value: float) -> str:
    """A duration for people: "350 ms", "2.4 s", "3 min 5 s", "2 h 10 min", "2 d 4 h"."""
    if value < 1:
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.2g} ms"
    if value < 60:
        return f"{value:.3g} s"
    whole = round(value)
    for unit, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"
