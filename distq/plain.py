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


def plain(value: Any) -> Any:
    """A value in what JSON knows: also for classes that the application has made known."""
    if value is None or isinstance(value, bool):
        return value
    for kinds, simpler in _SIMPLER:
        if isinstance(value, kinds):
            return simpler(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    dump = getattr(value, "model_dump", None)
    return plain(dump()) if callable(dump) else str(value)


def _plain_key(key: object) -> str:
    simple = plain(key)
    return simple if isinstance(simple, str) else json.dumps(simple, ensure_ascii=False)


def _plain_int(value: int) -> int | str:
    return int(value) if value.bit_length() < MOST_DIGITS * 3 else hex(value)


def _plain_float(value: float) -> float | str:
    return (
        float(value) if abs(value) < float("inf") else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    )


_SIMPLER: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: plain(value.value)),
    (str, str),
    (int, _plain_int),
    (float, _plain_float),
    (Mapping, lambda value: {_plain_key(key): plain(item) for key, item in value.items()}),
    ((set, frozenset), lambda value: sorted((plain(item) for item in value), key=repr)),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    ((bytes, bytearray), lambda value: bytes(value).decode("utf-8", "backslashreplace")),
    ((date, datetime, time_of_day), lambda value: value.isoformat()),
)
"""How values of other kinds are written; the first that fits wins."""
