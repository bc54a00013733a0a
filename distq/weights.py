"""`weights=` of a queue: how its priorities share it, where they are not strict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distq.errors import ConfigurationError, did_you_mean

LEVELS = ("high", "default", "low")
MOST = 1000

STRICT = "strict"


def weights(said: Any) -> str:
    """As the scripts keep them: "8 3 1", from high to low."""
    if not isinstance(said, Mapping):
        raise ConfigurationError(
            f'weights={said!r:.80}: say how the priorities share it, such as {{"high": 8, "default": 3, "low": 1}}'
        )
    for name in said:
        if name not in LEVELS:
            hint = did_you_mean(name, LEVELS) if isinstance(name, str) else ""
            raise ConfigurationError(f"weights: {name!r:.80} is none of {', '.join(LEVELS)}{hint}")
    for name in LEVELS:
        weight = said.get(name)
        if name not in said:
            raise ConfigurationError(f"weights={dict(said)!r:.80}: say also what {name} gets")
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= MOST:
            zero = "; with 0 it would never have its turn" if weight == 0 and not isinstance(weight, bool) else ""
            raise ConfigurationError(f"weights: {name} is {weight!r:.80}: give a whole number from 1 to {MOST:,}{zero}")
    return " ".join(str(said[name]) for name in LEVELS)


def shown(kept: str) -> str:
    """For people: "high 8, default 3, low 1"."""
    return ", ".join(f"{name} {weight}" for name, weight in zip(LEVELS, kept.split(" "), strict=False))
