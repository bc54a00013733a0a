"""Values in what JSON knows, for doors: whatever an application's tasks take and return. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from enum import Enum
from typing import Any

MOST_DIGITS = 4000
"""Python refuses to write a longer integer in decimal."""
MOST_DEPTH = 100
"""Of what is in one another. Messages may be deeper than Python recurses, and nobody looks there."""
DEEPER = "…"


def plain(value: Any, left: int = MOST_DEPTH) -> Any:
    """A value in what JSON knows: also for classes that the application has made known. `left`: how much deeper it
    goes; what is below is `DEEPER`."""
    if value is None or isinstance(value, bool):
        return value
    if left < 0:
        return DEEPER
    for kinds, simpler in _SIMPLER:
        if isinstance(value, kinds):
            return simpler(value, left - 1)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), left - 1) for field in fields(value)}
    dump = getattr(value, "model_dump", None)
    return plain(dump(), left - 1) if callable(dump) else str(value)


def _plain_key(key: object, left: int) -> str:
    simple = plain(key, left)
    return simple if isinstance(simple, str) else json.dumps(simple, ensure_ascii=False)


def _plain_int(value: int) -> int | str:
    return int(value) if value.bit_length() < MOST_DIGITS * 3 else hex(value)


def _plain_float(value: float) -> float | str:
    return (
        float(value) if abs(value) < float("inf") else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    )


_SIMPLER: tuple[tuple[Any, Callable[[Any, int], Any]], ...] = (
    (Enum, lambda value, left: plain(value.value, left)),
    (str, lambda value, left: str(value)),
    (int, lambda value, left: _plain_int(value)),
    (float, lambda value, left: _plain_float(value)),
    (Mapping, lambda value, left: {_plain_key(key, left): plain(item, left) for key, item in value.items()}),
    ((set, frozenset), lambda value, left: sorted((plain(item, left) for item in value), key=repr)),
    ((list, tuple), lambda value, left: [plain(item, left) for item in value]),
    ((bytes, bytearray), lambda value, left: bytes(value).decode("utf-8", "backslashreplace")),
    ((date, datetime, time_of_day), lambda value, left: value.isoformat()),
)
"""How values of other kinds are written; the first that fits wins."""
