"""`soft_time_limit` and `time_limit`: what can be one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distq.durations import seconds
from distq.errors import ConfigurationError

LIMITS = ("soft_time_limit", "time_limit")

MAX_LIMIT_S = 366 * 86400


def time_limits(options: Mapping[str, Any]) -> dict[str, float]:
    """Those that are given, in seconds."""
    found = {f"{name}_s": _limit_s(options[name], name) for name in LIMITS if name in options}
    if len(found) == 2 and found["soft_time_limit_s"] >= found["time_limit_s"]:
        raise ConfigurationError(
            f"soft_time_limit={options['soft_time_limit']!r:.80} is not below "
            f"time_limit={options['time_limit']!r:.80}: the process would be ended before the handler is told"
        )
    return found


def _limit_s(value: Any, what: str) -> float:
    number = seconds(value, what)
    if not 0 < number <= MAX_LIMIT_S:
        raise ConfigurationError(f"{what}={value!r:.80}: give a time above 0, and at most a year")
    return number
