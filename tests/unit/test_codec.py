"""The codec: bytes that other languages can rely on, round trips, refusals with their path, and hostile bytes."""

import contextlib
import enum
import math
import sys
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distq.codec import Codec, DecodeError
from distq.errors import NotSerializable
from distq.extensions import MAX_INT_BYTES, MAX_NESTED


class Color(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 1 << 70


class Kind(enum.StrEnum):
    BOOK = "book"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
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
    id: int


class Contact(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    first_name: str = pydantic.Field(alias="firstName")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def greeting(self) -> str:
        return f"Dear {self.first_name}"


class Ids(pydantic.RootModel[list[int]]):
    pass


class Team(pydantic.BaseModel):
    name: str
    boss: User
    kind: Kind
    born: date


class Pair(NamedTuple):
    left: int
    right: str


for golden in (Color, Point, User):
    golden.__module__ = "shop"  # the name of a class is part of its bytes


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.fixture
def knowing() -> Codec:
    codec = Codec()
    codec.register(Color, Level, Kind, Access, Point, Line, Sum, User, Team, Contact, Ids)
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
    (2**64, b"\xc7\x09\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
    (-(2**63) - 1, b"\xc7\x09\x00\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ((1, 2), b"\xc7\x03\x01\x92\x01\x02"),
    ({1}, b"\xd5\x02\x91\x01"),
    (frozenset({1}), b"\xd5\x03\x91\x01"),
    (datetime(2024, 5, 6, 7, 8, 9), b"\xc7\x17\x04\x93\xb32024-05-06T07:08:09\x00\xc0"),
    (datetime(2024, 5, 6, 7, 8, 9, fold=1), b"\xc7\x17\x04\x93\xb32024-05-06T07:08:09\x01\xc0"),
    (datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), b"\xc7\x1d\x04\x93\xb92024-05-06T07:08:09+00:00\x00\xc0"),
    (
        datetime(2024, 5, 6, 7, 8, 9, tzinfo=ZoneInfo("Europe/Rome")),
        b"\xc7\x28\x04\x93\xb92024-05-06T07:08:09+02:00\x00\xabEurope/Rome",
    ),
    (date(2024, 5, 6), b"\xc7\x0b\x05\xaa2024-05-06"),
    (time(7, 8, 9), b"\xc7\x0b\x06\x92\xa807:08:09\x00"),
    (timedelta(1, 2, 3), b"\xd6\x07\x93\x01\x02\x03"),
    (timedelta(-1), b"\xd6\x07\x93\xff\x00\x00"),
    (Decimal("1.50"), b"\xc7\x05\x08\xa41.50"),
    (UUID(int=1), b"\xd8\x09" + bytes(15) + b"\x01"),
    (Path("a/b"), b"\xd6\x0a\xa3a/b"),
    (Color.RED, b"\xc7\x0d\x0b\x92\xaashop.Color\x01"),
    (Point(1), b"\xd8\x0c\x92\xaashop.Point\x81\xa1x\x01"),
    (User(id=1), b"\xd8\x0d\x92\xa9shop.User\x81\xa2id\x01"),
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


def shown(value: object) -> str:
    """A short id for a test; digits of a huge integer are too many for repr()."""
    return f"{value.bit_length()} bits" if isinstance(value, int) and value.bit_length() > 64 else repr(value)[:40]


@pytest.mark.parametrize("value", SAME, ids=shown)
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
        (type("Moment", (datetime,), {})(2024, 5, 6, 7, fold=1, tzinfo=UTC), datetime(2024, 5, 6, 7, tzinfo=UTC)),
        (type("Day", (date,), {})(2024, 5, 6), date(2024, 5, 6)),
        (type("Span", (timedelta,), {})(1, 2, 3), timedelta(1, 2, 3)),
        (type("Money", (Decimal,), {})("1.50"), Decimal("1.50")),
        (type("DriverUUID", (UUID,), {})(int=7), UUID(int=7)),
    ],
    ids=lambda value: type(value).__name__,
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
        Contact(firstName="Ada"),
        Ids([1, 2]),
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


def test_set_of_unknown_objects_arrives_as_a_list(codec: Codec) -> None:
    Spot = make_dataclass("Spot", ["x"], frozen=True)
    assert codec.unpack(codec.pack({Spot(1)})) == [{"x": 1}]


def test_registering_a_class_registers_those_in_its_fields(codec: Codec) -> None:
    codec.register(Line)
    assert codec.unpack(codec.pack(Line(Point(1), Point(2), [Color.RED]))) == Line(Point(1), Point(2), [Color.RED])


def test_annotations_are_enough(codec: Codec) -> None:
    def handler(line: Line | None, *teams: Team) -> dict[str, Level]:
        return {}

    codec.register_annotations(handler)
    for value in (Point(1), Color.RED, Level.HIGH, User(id=1)):
        assert codec.unpack(codec.pack(value)) == value


def test_annotation_that_names_nothing_hides_no_other(codec: Codec) -> None:
    def handler(nothing, color): ...  # type: ignore[no-untyped-def]

    handler.__annotations__ = {"nothing": "Missing", "color": Color}
    codec.register_annotations(handler)
    assert codec.unpack(codec.pack(Color.RED)) is Color.RED


def test_class_that_is_defined_after_the_function(codec: Codec) -> None:
    def handler(late): ...  # type: ignore[no-untyped-def]

    codec.register_annotations(handler)
    handler.__annotations__ = {"late": Color}
    assert codec.unpack(codec.pack(Color.RED)) is Color.RED


def test_old_message_lacks_a_new_field(codec: Codec) -> None:
    old = make_dataclass("Old", ["x"])
    new = make_dataclass("Old", ["x", ("y", int, field(default=5))])
    codec.register(new)
    assert codec.unpack(codec.pack(old(1))) == new(1, 5)


def test_new_message_has_a_field_that_this_release_lacks(codec: Codec) -> None:
    old = make_dataclass("Old", ["x"])
    new = make_dataclass("Old", ["x", ("y", int, field(default=5))])
    codec.register(old)
    assert codec.unpack(codec.pack(new(1, 6))) == old(1)


def test_known_class_that_refuses_its_fields(codec: Codec) -> None:
    codec.register(Color)
    with pytest.raises(DecodeError, match="7 is not a valid Color"):
        codec.unpack(codec.pack(Color.RED)[:-1] + b"\x07")


# -- refusals --------------------------------------------------------------------------------------------------------


class Image:
    pass


class Detached:
    """Like a proxy of a web framework outside of a request: every look at it fails."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")


def generate() -> Iterator[int]:
    yield 1


async def wait() -> None: ...


OBJECT = "pass an id or plain data instead of the object"


def contains_itself() -> list[Any]:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    return loop


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Image(), f"result: Image is not serializable; {OBJECT}"),
        ([1, Image()], f"result[1]: Image is not serializable; {OBJECT}"),
        ({"a": {"b c": Image()}}, f"result.a['b c']: Image is not serializable; {OBJECT}"),
        ({1: Image()}, f"result[1]: Image is not serializable; {OBJECT}"),
        ((1, {Image}), "result[1][0]: type is not serializable; pass a name and look it up in the handler"),
        ([Point(Image())], f"result[0].x: Image is not serializable; {OBJECT}"),  # type: ignore[arg-type]
        (User.model_construct(id=Image()), f"result.id: Image is not serializable; {OBJECT}"),
        (len, "result: builtin_function_or_method is not serializable; pass a name and look it up in the handler"),
        (lambda: 1, "result: function is not serializable; pass a name and look it up in the handler"),
        (generate(), "result: generator is not serializable; pass a list"),
        (range(3), "result: range is not serializable; pass a list"),
        (1j, f"result: complex is not serializable; {OBJECT}"),
        ([10**20000], "result[0]: int is too large to be serializable, at most 8192 bytes; pass it as text"),
        (
            [-(2 ** (8 * MAX_INT_BYTES))],
            "result[0]: int is too large to be serializable, at most 8192 bytes; pass it as text",
        ),
        ("a\ud800", "result: str with lone surrogates is not serializable; encode it to bytes"),
        ({"k": ["\udfff"]}, "result.k[0]: str with lone surrogates is not serializable; encode it to bytes"),
        (contains_itself(), "result[1].again: the value contains itself"),
    ],
)
def test_refused_with_path_and_advice(value: Any, message: str, codec: Codec) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.pack(value)
    assert str(caught.value) == message


def test_value_that_cannot_even_be_looked_at_is_refused(codec: Codec) -> None:
    with pytest.raises(NotSerializable, match=r"result\[0\]: Detached is not serializable; pass plain data"):
        codec.pack([Detached()])


def test_open_file_is_refused(codec: Codec, tmp_path: Path) -> None:
    with (tmp_path / "photo").open("wb") as file, pytest.raises(NotSerializable, match="pass its path and open it"):
        codec.pack(file)


def test_coroutine_is_refused(codec: Codec) -> None:
    coroutine = wait()
    with pytest.raises(NotSerializable, match="result: coroutine is not serializable; await it first"):
        codec.pack(coroutine)
    coroutine.close()


@pytest.mark.parametrize(
    ("args", "kwargs", "headers", "path"),
    [
        ((1, Image()), {}, {}, "args[1]: Image"),
        (({"items": [1, 2, 3, {"photo": Image()}]},), {}, {}, "args[0].items[3].photo: Image"),
        ((), {"user": Image()}, {}, "kwargs.user: Image"),
        ((), {}, {"trace": Image()}, "headers.trace: Image"),
    ],
)
def test_refused_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], headers: dict[str, Any], path: str, codec: Codec
) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.pack_call(args, kwargs, headers)
    assert str(caught.value).startswith(path)


def nested(kind: Callable[[Any], Any], levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = kind(value)
    return value


WRAPS: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda value: (value,),
    "frozenset": lambda value: frozenset([value]),
    "dataclass": Point,
}


@pytest.mark.parametrize("kind", WRAPS.values(), ids=WRAPS)
def test_extensions_in_extensions_have_an_end(kind: Callable[[Any], Any], knowing: Codec) -> None:
    value = nested(kind, MAX_NESTED)
    assert knowing.unpack(knowing.pack(value)) == value
    with pytest.raises(NotSerializable, match="result: nested too deeply: at most 32 tuples"):
        knowing.pack(kind(value))


@pytest.mark.parametrize("kind", [lambda value: [value], lambda value: {"a": value}], ids=["list", "dict"])
def test_lists_in_lists_have_an_end(kind: Callable[[Any], Any], codec: Codec) -> None:
    packed = codec.pack(nested(kind, 1000))
    assert codec.pack(codec.unpack(packed)) == packed
    with pytest.raises(NotSerializable, match="nested"):
        codec.pack(nested(kind, 1100))


LEVELS: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "dict": lambda value: {"a": value},
    "pair": lambda value: ["rest", value],
}
ENDS = st.sampled_from([1, "", [], {}, (), set(), [[], {}], ([],)])


@given(st.sampled_from(list(LEVELS)), st.integers(1015, 1026), ENDS, st.booleans())
@settings(max_examples=100)
def test_what_can_be_packed_can_be_unpacked_however_deep_it_is(kind: str, levels: int, end: Any, wraps: bool) -> None:
    codec, value = Codec(), end
    for _ in range(levels):
        value = LEVELS[kind](value)
    value = (value,) if wraps else value
    for pack in (codec.pack, codec.result_packer()):
        with contextlib.suppress(NotSerializable):
            packed = pack(value)
            assert codec.pack(codec.unpack(packed)) == packed
    for args, kwargs in (((value,), {}), ((), {"a": value})):
        with contextlib.suppress(NotSerializable):
            packed = codec.pack_call(args, kwargs)
            found = codec.unpack_call(packed)
            assert codec.pack_call(tuple(found[0]), found[1]) == packed


@pytest.mark.parametrize("end", [[], {}], ids=repr)
def test_what_only_the_packer_bears_is_refused_with_its_place(end: Any, codec: Codec) -> None:
    value = end
    for _ in range(1022):
        value = [value]
    advice = "nested too deeply: at most 32 tuples, sets or objects in each other, and 1000 lists"
    with pytest.raises(NotSerializable, match=rf"args\[1\]: {advice}"):
        codec.pack_call((1, value), {})
    with pytest.raises(NotSerializable, match=f"result: {advice}"):
        codec.result_packer()([[value]])
    assert codec.unpack_call(codec.pack_call((1, value[0]), {}))


@pytest.mark.parametrize("levels", [100, 1000, 100_000])
def test_path_of_what_is_too_deep_stays_short(levels: int, codec: Codec) -> None:
    with pytest.raises(NotSerializable) as caught:
        codec.pack(nested(WRAPS["tuple"], levels))
    assert "nested" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_packer_works_after_a_refusal(codec: Codec) -> None:
    with pytest.raises(NotSerializable):
        codec.pack(["rest", Image()])
    assert codec.pack(1) == b"\x01"


# -- hostile bytes ---------------------------------------------------------------------------------------------------


def extension(code: int, content: bytes) -> bytes:
    return b"\xc8" + len(content).to_bytes(2, "big") + bytes([code]) + content


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\x81\x90\x01",
        extension(42, b""),
        extension(0, bytes(MAX_INT_BYTES + 1)),
        extension(4, b"\x01"),
        extension(4, b"\x93\xa3now\x00\xc0"),
        extension(5, b"\xa5today"),
        extension(6, b"\x92\xa208\xc0"),
        extension(7, b"\x93\xce\xff\xff\xff\xff\x00\x00"),
        extension(8, b"\xa3abc"),
        extension(9, b"\x00"),
        extension(11, b"\x92\x01\x01"),
        extension(12, b"\x93\xa1a\x80\x80"),
        b"\xd4\xff\x00",
    ],
    ids=bytes.hex,
)
def test_bytes_that_are_no_value(data: bytes, knowing: Codec) -> None:
    with pytest.raises(DecodeError):
        knowing.unpack(data)


def test_extensions_nested_by_an_enemy_do_not_overflow_the_stack(codec: Codec) -> None:
    data = b"\x01"
    for _ in range(1000):
        data = extension(1, b"\x91" + data)
    with pytest.raises(DecodeError, match="nested too deeply"):
        codec.unpack(data)


def test_named_module_is_not_imported(codec: Codec) -> None:
    name = b"this.Zen"
    data = extension(11, b"\x92" + bytes([0xA0 + len(name)]) + name + b"\x01")
    assert codec.unpack(data) == 1
    assert "this" not in sys.modules


def only_decode_errors(codec: Codec, data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        codec.unpack(data)


FUZZED = Codec()
FUZZED.register(Color, Level, Kind, Access, Line, Sum, User, Team, Contact, Ids)


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_random_bytes(data: bytes) -> None:
    only_decode_errors(FUZZED, data)


NAMES = [f"{cls.__module__}.{cls.__qualname__}" for cls in (Color, Kind, Point, Line, Sum, User, Team)]


@given(
    values | st.dictionaries(st.sampled_from("xyz"), values),
    st.integers(0, 20),
    st.integers(11, 13),
    st.sampled_from(NAMES),
)
def test_any_value_arrives_as_it_was_and_does_no_harm_as_the_content_of_something_else(
    value: Any, code: int, kind: int, name: str
) -> None:
    """Together, since to make up such values takes most of the time."""
    packed = FUZZED.pack(value)
    assert Codec().unpack(packed) == value
    only_decode_errors(FUZZED, extension(code, packed[:60000]))
    only_decode_errors(FUZZED, extension(kind, FUZZED.pack([name, value])[:60000]))


@given(st.sampled_from([data for _, data in GOLDEN]), st.data())
@settings(max_examples=100)
def test_damaged_bytes(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    byte = draw.draw(st.integers(0, 255))
    only_decode_errors(FUZZED, data[:at] + bytes([byte]) + data[at + 1 :])


# -- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "headers"),
    [((), {}, {}), ((1, (2,)), {}, {}), ((), {"a": 1}, {}), ((1,), {"a": 1}, {"h": [1]}), ((), {}, {"h": 1})],
)
def test_call_arrives_as_it_was(
    args: tuple[Any, ...], kwargs: dict[str, Any], headers: dict[str, Any], codec: Codec
) -> None:
    assert codec.unpack_call(codec.pack_call(args, kwargs, headers)) == (list(args), kwargs, headers)


@pytest.mark.parametrize(
    "body",
    [1, [], [1], [[], 1], [[], {1: 2}], [[], {}, {b"a": 1}], [[], {}, {}, {}], {}, "a", ([],), [()], [{}]],
    ids=repr,
)
def test_body_that_is_no_call(body: Any, codec: Codec) -> None:
    with pytest.raises(DecodeError, match=r"a call is \[args\]"):
        codec.unpack_call(codec.pack(body))


# -- threads ---------------------------------------------------------------------------------------------------------


def test_threads_share_a_codec(knowing: Codec) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for i in range(200):
            value = [number, i, (number, {i}), Line(Point(number), Point(i)), "x" * (i * 50)]
            if knowing.unpack(knowing.pack(value)) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_thread_waits_for_the_one_that_looks_for_classes(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(point): ...  # type: ignore[no-untyped-def]

    is_looking, go_on = threading.Event(), threading.Event()

    def look() -> type:
        is_looking.set()
        assert go_on.wait(10)
        return Point

    monkeypatch.setitem(globals(), "look", look)
    handler.__annotations__ = {"point": "look()"}
    codec.register_annotations(handler)
    data, found = codec.pack(Point(1)), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(codec.unpack(data))) for _ in range(2)]
    threads[0].start()
    assert is_looking.wait(10)
    threads[1].start()
    threads[1].join(0.05)  # it would be done by now if it did not wait
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == [Point(1), Point(1)]
