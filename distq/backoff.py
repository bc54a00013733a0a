"""Delays between attempts. A backoff is a function: number of the attempt that failed (from 1) -> seconds. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from distq.errors import ConfigurationError, did_you_mean

Backoff = Callable[[int], float]

BASE_S = 0.1
CAP_S = 3600.0
MAX_DELAY_S = 30 * 86400.0


def exponential(base: float = BASE_S, *, factor: float = 2.0, cap: float = CAP_S, jitter: float | str = 0.0) -> Backoff:
    """factor^n · base seconds after n failed attempts: 200, 400, 800 ms …, at most `cap`.

    `jitter`: 0 none; "full" a random part of the delay (as AWS's "full jitter"); a fraction f spreads it over ±f.
    """
    if not (base > 0 and factor >= 1 and cap > 0):
        raise ConfigurationError(
            f"exponential({base!r}, factor={factor!r}, cap={cap!r}): all must be positive, factor >= 1"
        )
    spread = _jitter(jitter)

    def delay(attempt: int) -> float:
        return spread(min(cap, base * factor ** min(attempt, 1000)) if attempt * math.log2(factor) < 1000 else cap)

    return delay


def linear(step: float = 1.0, *, cap: float = CAP_S, jitter: float | str = 0.0) -> Backoff:
    """n · step seconds after n failed attempts, at most `cap`."""
    if not (step >= 0 and cap > 0):
        raise ConfigurationError(f"linear({step!r}, cap={cap!r}): give a step of at least 0 and a cap above 0")
    spread = _jitter(jitter)
    return lambda attempt: spread(min(cap, step * attempt))


def constant(delay: float = 1.0, *, jitter: float | str = 0.0) -> Backoff:
    """The same delay each time."""
    if not delay >= 0:
        raise ConfigurationError(f"constant({delay!r}): give at least 0 seconds")
    spread = _jitter(jitter)
    return lambda attempt: spread(delay)


_NAMED: dict[str, Callable[[], Backoff]] = {"exponential": exponential, "linear": linear, "constant": constant}


def resolve(value: object) -> Backoff:
    """A declared backoff as a function: a name, a number of seconds, or a callable.

    Raises ConfigurationError for anything else.
    """
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]()
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_DELAY_S:
        return constant(float(value))
    if callable(value) and not isinstance(value, type):
        return value
    hint = did_you_mean(value, _NAMED) if isinstance(value, str) else ""
    raise ConfigurationError(
        f"backoff={value!r:.80}: give exponential, linear, constant, seconds, or a callable attempt -> seconds{hint}"
    )


def delay_ms(backoff: Backoff, attempt: int) -> int:
    """Milliseconds until the next attempt. A backoff that fails or gives nonsense counts as the default one: a retry
    must not be lost because of it."""
    try:
        value = float(backoff(attempt))
    except Exception:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        value = _DEFAULT(attempt)
    return round(min(value, MAX_DELAY_S) * 1000)


def _jitter(jitter: float | str) -> Callable[[float], float]:
    if jitter == "full":
        return lambda delay: random.uniform(0, delay)
    if isinstance(jitter, int | float) and 0 <= jitter <= 1:
        part = float(jitter)
        return (lambda delay: delay * random.uniform(1 - part, 1 + part)) if part else (lambda delay: delay)
    raise ConfigurationError(f'jitter={jitter!r:.80}: give 0 to 1, or "full"')


_DEFAULT = exponential()
