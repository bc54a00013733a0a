"""Times that travel are milliseconds since 1970 by the broker's clock. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from distq.errors import ConfigurationError


def eta_ms(value: object, what: str = "eta") -> int:
    """An aware datetime as milliseconds since 1970.

    Raises ConfigurationError for a naive one: it means another moment on another machine.
    """
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{what}={value!r:.80}: give a datetime with a time zone, e.g. datetime.now(UTC) + …")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ConfigurationError(
            f"{what}={value.isoformat()} has no time zone, so it means another moment on another machine: "
            "give datetime(…, tzinfo=UTC) or value.astimezone()"
        )
    return round(value.timestamp() * 1000)


def parse_time(text: str) -> datetime:
    """A time as people and programs write it: ISO 8601. Raises ValueError."""
    return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
