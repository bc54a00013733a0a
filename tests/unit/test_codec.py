"""The codec: bytes that other languages can rely on, round trips, refusals with their path, and hostile bytes."""

from __future__ import annotations

import enum
import math
import threading
import typing
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.codec import MAX_INT_BYTES, Codec, DecodeError
from distq.errors import NotSerializable


class Color(enum.Enum):
    __module__ = "shop"
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    __module__ = "shop"
    LOW = 1
    HIGH = 1 << 70


class Kind(enum.StrEnum):
    __module__ = "shop"
    BOOK = "book"


class Access(enum.Flag):
    __module__ = "shop"
    READ = 1
    WRITE = 2


@dataclass
class Point:
    __module__ = "shop"
    x: int


@dataclass(frozen=True, slots=True)
class Line:
    start: Point
    end: Point
    colors: list[Color] = field(default_factory=list)


@dataclass
class Sum:
    terms: list[int]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.terms)


class User(pydantic.BaseModel):
    __module__ = "shop"
    id: int


class Team(pydantic.BaseModel):
    name: str
    boss: User
    kind: Kind
    born: date


class Pair(NamedTuple):
    left: int
    right: str


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.fixture
def knowing() -> Codec:
    codec = Codec()
    codec.register(Color, Level, Kind, Access, Point, Line, Sum, User, Team)
    return codec


# -- golden bytes ----------------------------------------------------------------------------------------------------

GOLDEN: list[tuple[Any, bytes]] = [
    (None, b"\xc0"),
    (False, b"\xc2"),
    (True, b"\xc3"),
    (1, b"\x01"),
    (-1, b"\xff"),
    (256, b"\xcd\x01\x00"),
    (2**64 - 1, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    (-(2**63), b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
    (1.5, b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
    ("hé", b"\xa3h\xc3\xa9"),
    (b"hi", b"\xc4\x02hi"),
    ([1, [2]], b"\x92\x01\x91\x02"),
    ({"a": 1}, b"\x81\xa1a\x01"),
    # an extension is: d4–d8 for 1, 2, 4, 8, 16 bytes, or c7 and the length; then its type; then its content
    (2**64, b"\xc7\x09\x00" b"\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
    (-(2**63) - 1, b"\xc7\x09\x00" b"\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ((1, 2), b"\xc7\x03\x01" b"\x92\x01\x02"),
    ({1}, b"\xd5\x02" b"\x91\x01"),
    (frozenset({1}), b"\xd5\x03" b"\x91\x01"),
    (datetime(2024, 5, 6, 7, 8, 9), b"\xc7\x17\x04" b"\x93\xb32024-05-06T07:08:09\x00\xc0"),
    (datetime(2024, 5, 6, 7, 8, 9, fold=1), b"\xc7\x17\x04" b"\x93\xb32024-05-06T07:08:09\x01\xc0"),
    (datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), b"\xc7\x1d\x04" b"\x93\xb92024-05-06T07:08:09+00:00\x00\xc0"),
    (
        datetime(2024, 5, 6, 7, 8, 9, tzinfo=ZoneInfo("Europe/Rome")),
        b"\xc7\x28\x04" b"\x93\xb92024-05-06T07:08:09+02:00\x00\xabEurope/Rome",
    ),
    (date(2024, 5, 6), b"\xc7\x0b\x05" b"\xaa2024-05-06"),
    (time(7, 8, 9), b"\xc7\x0b\x06" b"\x92\xa807:08:09\x00"),
    (timedelta(1, 2, 3), b"\xd6\x07" b"\x93\x01\x02\x03"),
    (timedelta(-1), b"\xd6\x07" b"\x93\xff\x00\x00"),
    (Decimal("1.50"), b"\xc7\x05\x08" b"\xa41.50"),
    (UUID(int=1), b"\xd8\x09" + bytes(15) + b"\x01"),
    (Path("a/b"), b"\xd6\x0a" b"\xa3a/b"),
    (Color.RED, b"\xc7\x0d\x0b" b"\x92\xaashop.Color\x01"),
    (Point(1), b"\xd8\x0c" b"\x92\xaashop.Point\x81\xa1x\x01"),
    (User(id=1), b"\xd8\x0d" b"\x92\xa9shop.User\x81\xa2id\x01"),
]


@pytest.mark.parametrize(("value", "data"), GOLDEN, ids=lambda part: repr(part)[:40])
def test_golden_bytes(value: Any, data: bytes, knowing: Codec) -> None:
    assert knowing.pack(value) == data
    assert knowing.unpack(data) == value


def test_timestamp_of_msgpack_is_an_aware_datetime(codec: Codec) -> None:
    assert codec.unpack(b"\xd6\xff\x00\x00\x00\x01") == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_call_without_keywords(codec: Codec) -> None:
    assert codec.pack_call((1, "a"), {}) == b"\x91\x92\x01\xa1a"


def test_call_with_keywords(codec: Codec) -> None:
    assert codec.pack_call((), {"x": 1}) == b"\x92\x90\x81\xa1x\x01"


def test_call_with_headers_always_has_keywords(codec: Codec) -> None:
    assert codec.pack_call((), {}, {"h": 2}) == b"\x93\x90\x80\x81\xa1h\x02"


# -- round trips -----------------------------------------------------------------------------------------------------

SAME: list[Any] = [
    datetime(1, 1, 1),
    datetime.max,
    datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2024, 5, 6, tzinfo=timezone(timedelta(seconds=1, microseconds=5))),
    time.max,
    time(1, 2, tzinfo=UTC),
    timedelta.min,
    timedelta.max,
    Decimal("Infinity"),
    Decimal("-0"),
    Decimal("1E+1000"),
    b"",
    "",
    math.inf,
    [],
    {},
    (),
    set(),
    frozenset(),
    ((), ((),)),
    {(1, 2): [frozenset({(3,)})]},
    {1: "a", None: "b", b"c": 1.5},
    {frozenset({1}): {2}},
    10**2000,
    -(10**2000),
    2**63,
    2 ** (8 * MAX_INT_BYTES - 1) - 1,
    -(2 ** (8 * MAX_INT_BYTES - 1)) + 1,
]


@pytest.mark.parametrize("value", SAME, ids=lambda value: repr(value)[:40])
def test_round_trip(value: Any, codec: Codec) -> None:
    again = codec.unpack(codec.pack(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("fold", [0, 1])
def test_zone_and_fold_survive(fold: int, codec: Codec) -> None:
    moment = datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))
    again = codec.unpack(codec.pack(moment))
    assert (again, again.fold, again.tzinfo) == (moment, fold, moment.tzinfo)
    assert again.timestamp() == moment.timestamp()


def test_time_keeps_its_fold(codec: Codec) -> None:
    assert codec.unpack(codec.pack(time(2, 30, fold=1))).fold == 1


def test_zone_that_this_machine_does_not_know_keeps_the_moment(codec: Codec) -> None:
    moment = codec.pack(datetime(2024, 5, 6, tzinfo=ZoneInfo("Europe/Rome"))).replace(b"Europe/Rome", b"Europe/Roma")
    assert codec.unpack(moment) == datetime(2024, 5, 6, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "NaN123"])
def test_decimal_nan(text: str, codec: Codec) -> None:
    assert str(codec.unpack(codec.pack(Decimal(text)))) == text


def test_float_nan(codec: Codec) -> None:
    assert math.isnan(codec.unpack(codec.pack(math.nan)))


def test_order_of_a_mapping_survives(codec: Codec) -> None:
    assert list(codec.unpack(codec.pack({"b": 1, "a": 2}))) == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Counter("a"), {"a": 1}),
        (Pair(1, "x"), (1, "x")),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (type("Name", (str,), {})("a"), "a"),
        (type("Count", (int,), {})(2**80), 2**80),
        (type("Ratio", (float,), {})(1.5), 1.5),
        (type("Bag", (set,), {})({1}), {1}),
        (PurePosixPath("/a/b"), Path("/a/b")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_relatives_of_builtins_arrive_as_builtins(value: Any, arrives: Any, codec: Codec) -> None:
    again = codec.unpack(codec.pack(value))
    assert again == arrives
    assert type(again) is type(arrives)


plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
keys = st.recursive(plain, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=4)
values = st.recursive(
    keys | st.sets(keys),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(values)
def test_any_value_arrives_as_it_was(value: Any) -> None:
    codec = Codec()
    assert codec.unpack(codec.pack(value)) == value


# -- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Color.GREEN,
        Level.LOW,
        Level.HIGH,
        Kind.BOOK,
        Access.READ | Access.WRITE,
        Line(Point(1), Point(2), [Color.RED]),
        Sum([1, 2]),
        Team(name="a", boss=User(id=1), kind=Kind.BOOK, born=date(2024, 5, 6)),
        {Color.RED: [User(id=1)]},
    ],
    ids=repr,
)
def test_known_classes_arrive_as_themselves(value: Any, knowing: Codec) -> None:
    again = knowing.unpack(knowing.pack(value))
    assert again == value
    assert type(again) is type(value)


def test_field_that_init_does_not_take_keeps_its_value(knowing: Codec) -> None:
    value = Sum([1, 2])
    value.total = 99
    assert knowing.unpack(knowing.pack(value)).total == 99


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Color.GREEN, "green"),
        (Level.LOW, 1),
        (Kind.BOOK, "book"),
        (Line(Point(1), Point(2)), {"start": {"x": 1}, "end": {"x": 2}, "colors": []}),
        (User(id=1), {"id": 1}),
        (
            Team(name="a", boss=User(id=1), kind=Kind.BOOK, born=date(2024, 5, 6)),
            {"name": "a", "boss": {"id": 1}, "kind": "book", "born": date(2024, 5, 6)},
        ),
    ],
    ids=repr,
)
def test_unknown_classes_arrive_as_plain_data(value: Any, arrives: Any, codec: Codec) -> None:
    again = codec.unpack(codec.pack(value))
    assert again == arrives
    assert type(again) is type(arrives)
