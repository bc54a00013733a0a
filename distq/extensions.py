"""The extensions of msgpack that are ours: for each type that travels, how it is written, and how it is read.

Native in msgpack: None, bool, 64-bit integers, float, str, bytes, list, dict. The rest are extensions; "array" and
"map" below are msgpack values inside the extension's bytes:

     0 integer beyond 64 bits: two's complement, big-endian
     1 tuple    2 set    3 frozenset: array of the members
     4 datetime: array [ISO 8601 text, fold, IANA zone or nil]
     5 date: ISO text    6 time: array [ISO text, fold]    7 timedelta: array [days, seconds, microseconds]
     8 Decimal: text    9 UUID: 16 bytes    10 path: text with /
    11 enum member: array [class, value]    12 dataclass: array [class, map of fields]
    13 pydantic model: array [class, map of fields]
    -1 msgpack's own timestamp, read as an aware datetime
"""

from __future__ import annotations

import dataclasses
import sys
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePath
from typing import Any

import msgpack

BIG_INT, TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID, PATH, ENUM, DATACLASS, MODEL = range(14)

MAX_INT_BYTES = 8192
"""A longer integer is refused: turning one into text takes time that grows with its square."""
MAX_NESTED = 32
"""Extensions in each other. Reading one takes 42 kB of the C stack, and a stack that overflows kills the process."""

Plain = Callable[[Any], Any]


def _big_int(value: int) -> tuple[int, bytes]:
    size = value.bit_length() // 8 + 1
    if size > MAX_INT_BYTES:
        raise OverflowError("the integer is too long")
    return BIG_INT, value.to_bytes(size, "big", signed=True)


def _datetime(value: datetime) -> tuple[int, Any]:
    zoneinfo = sys.modules.get("zoneinfo")  # who has such a zone has imported it; it is 0.8 MiB
    zone = value.tzinfo.key if zoneinfo and isinstance(value.tzinfo, zoneinfo.ZoneInfo) else None
    return DATETIME, [value.isoformat(), value.fold, zone]


def _read_datetime(content: Any) -> datetime:
    text, fold, zone = content
    value = datetime.fromisoformat(text).replace(fold=fold)
    if zone is None:
        return value
    from zoneinfo import ZoneInfo  # noqa: PLC0415 (see _datetime)

    try:
        return value.replace(tzinfo=ZoneInfo(zone))
    except Exception:  # not in this machine's database: the offset in the text says which moment it is
        return value


def _read_decimal(content: Any) -> Decimal:
    try:
        return Decimal(content)
    except InvalidOperation:
        raise ValueError("no decimal number") from None


def _rebuild_dataclass(cls: type, content: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    value = cls(**{name: content[name] for name, field in fields.items() if field.init and name in content})
    for name, field in fields.items():
        if not field.init and name in content:
            object.__setattr__(value, name, content[name])
    return value


def _rebuild_model(cls: Any, content: Any) -> Any:
    try:
        return cls.model_validate(content, by_alias=True, by_name=True)
    except TypeError:  # pydantic before 2.11 has no by_name
        return cls.model_validate(_by_alias(cls, content))


def _by_alias(cls: Any, content: Any) -> Any:
    if not isinstance(content, dict):  # of a RootModel
        return content
    aliases = {name: field.validation_alias for name, field in cls.model_fields.items()}
    return {alias if isinstance(alias := aliases.get(name), str) else name: value for name, value in content.items()}


def _members(kind: Plain) -> Plain:
    """Reads a set; members of an unknown class may have become mappings, and those fit into a list only."""

    def read(content: Any) -> Any:
        try:
            return kind(content)
        except TypeError:
            return content

    return read


ENCODERS: dict[type, Callable[[Any], tuple[int, Any]]] = {
    int: _big_int,
    tuple: lambda value: (TUPLE, list(value)),
    set: lambda value: (SET, list(value)),
    frozenset: lambda value: (FROZENSET, list(value)),
    datetime: _datetime,
    date: lambda value: (DATE, value.isoformat()),
    time: lambda value: (TIME, [value.isoformat(), value.fold]),
    timedelta: lambda value: (TIMEDELTA, [value.days, value.seconds, value.microseconds]),
    Decimal: lambda value: (DECIMAL, str(value)),
    uuid.UUID: lambda value: (UUID, value.bytes),
}

DECODERS: dict[int, Plain] = {
    TUPLE: tuple,
    SET: _members(set),
    FROZENSET: _members(frozenset),
    DATETIME: _read_datetime,
    DATE: date.fromisoformat,
    TIME: lambda content: time.fromisoformat(content[0]).replace(fold=content[1]),
    TIMEDELTA: lambda content: timedelta(content[0], content[1], content[2]),
    DECIMAL: _read_decimal,
    PATH: Path,
}

REBUILD: dict[int, Callable[[Any, Any], Any]] = {
    ENUM: lambda cls, content: cls(content),
    DATACLASS: _rebuild_dataclass,
    MODEL: _rebuild_model,
}

_combine, _from_ordinal = datetime.combine, date.fromordinal  # freezegun replaces a module's `datetime` and `date`

BASES: tuple[tuple[type, Plain], ...] = (
    (PurePath, lambda value: msgpack.ExtType(PATH, msgpack.packb(value.as_posix()))),
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, bytes),
    (tuple, tuple),
    (list, list),
    (dict, dict),
    (frozenset, frozenset),
    (set, set),
    (datetime, lambda value: _combine(value.date(), value.timetz())),
    (date, lambda value: _from_ordinal(value.toordinal())),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (Decimal, Decimal),
    (uuid.UUID, lambda value: uuid.UUID(int=value.int)),
)
"""Subclasses (namedtuple, OrderedDict, a driver's own UUID …) travel as what they extend."""
