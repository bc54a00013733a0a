"""Makes docs/protocol/vectors.json: values, messages and endings with their bytes, from the code of record.

    python docs/vectors.py [--check]

A client in another language encodes each of `values` and `messages` to the same bytes, decodes `values`, `received` and
`endings`, and refuses `refused`. Bytes are hexadecimal, in words: `91*3 c0` is 91 91 91 c0. What JSON cannot say of a
value is an object with one key that begins with `$`: `tagged` has them all.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack

from distq import Distq
from distq.broker.verbs import enqueue_options
from distq.codec import Codec, DecodeError

PLACE = Path(__file__).parent / "protocol" / "vectors.json"
SAFE = 1 << 53
TOKEN = "0123456789abcdef"  # noqa: S105 (of a call, and no secret)
LATER = datetime(2026, 12, 24, 18, 30, 0, 250000, tzinfo=UTC)
codec = Codec()


class Colour(Enum):
    """Travels as its value, with the name of its class."""

    RED = "red"


@dataclass
class Address:
    """Travels as its fields."""

    street: str
    number: int


for known in (Colour, Address):
    known.__module__ = "myapp"  # whoever runs this file


def nested(depth: int) -> list[Any]:
    """So many lists in each other."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def tuples(depth: int) -> Any:
    """So many tuples in each other."""
    value: Any = None
    for _ in range(depth):
        value = (value,)
    return value


VALUES: Mapping[str, Any] = {
    "nothing": None,
    "yes and no": [True, False],
    "the smallest form of each whole number": [
        0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, SAFE - 1, -1, -32, -33, -128, -129, -32768, -32769,
        -(2**31), -(2**31) - 1, 1 - SAFE,
    ],
    "whole numbers that need all 64 bits": [SAFE, 2**63 - 1, 2**63, 2**64 - 1, -SAFE, -(2**63)],
    "whole numbers beyond 64 bits": [2**64, -(2**63) - 1, 2**71 - 1, 2**71, -(2**71), -(2**72) + 1, 10**40, -(10**40)],
    "the longest whole number": 2 ** (8192 * 8 - 1) - 1,
    "floats": [0.5, -0.5, 0.1, 1e300, 5e-324, math.pi],
    "floats that are whole": [1.0, -3.0, 0.0, 1e15],
    "floats that are no numbers": [math.inf, -math.inf, math.nan, -0.0],
    "text": ["", "a", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65535, "x" * 65536],
    "text of all kinds": ["grüße", "日本語", "🦊", "a\x00b", "\u202e\ufeff", "e\u0301", 'quote " \\ \n'],
    "bytes": [b"", b"\x00\xff", b"x" * 255, b"x" * 256, b"x" * 65536],
    "lists": [[], [[]], list(range(15)), list(range(16)), [None] * 65536],
    "maps": [{}, {"a": {"b": [1]}}, {f"k{i}": i for i in range(15)}, {f"k{i}": i for i in range(16)}],
    "a map with keys that JavaScript has plans for": {"__proto__": 1, "constructor": 2, "toString": 3},
    "a map with keys that are no text": {1: "a", -1: "b", None: "c", 0.5: "d"},
    "lists as deep as they may be": nested(1024),
    "tuples": [(), (1,), (1, ("a", None))],
    "tuples as deep as they may be": tuples(32),
    "sets": [set(), {7}, frozenset(), frozenset({7})],
    "moments": [
        LATER, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(1969, 7, 20, tzinfo=UTC),
    ],
    "datetimes": [
        datetime(2026, 11, 30, 12, 0), datetime(2026, 11, 30, 12, 0, 0, 123456),
        datetime(2026, 11, 30, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
    "dates and times": [date(2024, 2, 29), time(7, 30), time(23, 59, 59, 999999), time(2, 30, fold=1)],
    "spans of time": [timedelta(0), timedelta(days=1, seconds=2, microseconds=3), timedelta(seconds=-1)],
    "decimals": [Decimal("9.90"), Decimal("-1E+5"), Decimal("NaN"), Decimal("0.1000000000000000000000000001")],
    "other types": [UUID("12345678-1234-5678-1234-567812345678"), PurePosixPath("a/b.txt")],
}  # fmt: skip

RECEIVED: Mapping[str, tuple[str, Any]] = {
    "an enum member, as its value": (codec.pack(Colour.RED).hex(), "red"),
    "a dataclass, as its fields": (codec.pack(Address("Main", 7)).hex(), {"street": "Main", "number": 7}),
    "a model, as its fields": (msgpack.packb(msgpack.ExtType(13, msgpack.packb(["m.M", {"a": 1}]))).hex(), {"a": 1}),
    "a float of 32 bits": ("ca3fc00000", 1.5),
    "numbers in larger forms than they need": (
        "95 cc01 cd0001 ce00000001 cf0000000000000001 d3ffffffffffffffff", [1, 1, 1, 1, -1]
    ),
    "text in a larger form than it needs": ("db00000001 61", "a"),
    "the same key twice: the last one counts": ("82 a16101 a16102", {"a": 2}),
    "MessagePack's own timestamps": ("92 d6ff6553f100 c70cff075bcd15000000006553f100", [
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC),
    ]),
    "the empty whole number": ("c70000", 0),
}  # fmt: skip

REFUSED: Mapping[str, str] = {
    "nothing at all": "",
    "a byte that begins nothing": "c1",
    "something behind the value": "0101",
    "a list that is cut off": "92 01",
    "a list that says it has four billion members": "dd ffffffff",
    "a map that says it has four billion members": "df ffffffff",
    "text that says it has four billion bytes": "db ffffffff 61",
    "bytes that are cut off": "c4 05 6162",
    "text that is no UTF-8": "a2 c328",
    "text with a lone surrogate": "a3 eda080",
    "a float that is cut off": "cb 3ff8",
    "an extension that is cut off": "c7 05 09 61",
    "an extension without a code": "c7 00",
    "an extension of an unknown code": "d4 64 00",
    "an extension of an unknown negative code": "d4 9c 00",
    "a timestamp of no known length": "d5 ff 0000",
    "a UUID of 15 bytes": "c70f09 00*15",
    "a whole number that is too long": "c82001 00 7f*8193",
    "a datetime that is a number": "d4 04 01",
    "a datetime that is none": "c70804 93 a3616263 00 c0 c0",
    "a datetime with too few parts": "c70304 92 00c0",
    "a date that is none": "c70405 a3616263",
    "a decimal that is none": "c70408 a3616263",
    "a timedelta of text": "c70707 93 a161a162a163",
    "a class without a name": "c7030c 920180",
    "a class with too few parts": "d5 0c 91c0",
    "a list as a key": "81 9101 01",
    "lists that are too deep": "91*1025 c0",
    "maps that are too deep": "81a161*1025 c0",
    "a bomb of lists": "91*100000 c0",
}


def deep_extensions(levels: int) -> str:
    """Tuples in each other, so many."""
    data = b"\xc0"
    for _ in range(levels):
        data = msgpack.packb(msgpack.ExtType(1, b"\x91" + data))
    return data.hex()


app = Distq("shop", broker="redis://localhost:6379/0")
app.queue("mail")


@app.task(unique="user")
def sync(user: str) -> None:
    """Unique by its argument, which the name in the message then is."""


@app.task(rate="5/s per tenant")
def crawl(tenant: str) -> None:
    """Limited per key."""


@app.task(rate="5/s per tenant", unique="tenant")
def index(tenant: str) -> None:
    """Both."""


Case = tuple[str, list[Any], dict[str, Any], dict[str, Any]]
"""Type, args, kwargs, options."""

NAMED = {"result_ttl": 600}
"""What the declaration of `sync` says, and another program has to."""

MESSAGES: Mapping[str, Case] = {
    "nothing but a type": ("ping", [], {}, {}),
    "the example of the protocol": ("add", [1, 2], {}, {"result_ttl": 600}),
    "keyword arguments": ("add", [], {"a": 1, "b": 2}, {"id": "order-17", "delay": 2, "result_ttl": 600}),
    "both, and headers": ("add", [1], {"b": "zwei"}, {"headers": {"trace": "00-ab", "n": 1}}),
    "headers without keyword arguments": ("add", [1], {}, {"headers": {"a": 1}}),
    "high priority": ("add", [], {}, {"priority": "high"}),
    "low priority, as a number": ("add", [], {}, {"priority": 0}),
    "another queue": ("mail.send", [], {}, {"queue": "mail"}),
    "no result": ("add", [], {}, {"result_ttl": 0}),
    "a result for less than a second": ("add", [], {}, {"result_ttl": 0.2}),
    "a result for a year": ("add", [], {}, {"result_ttl": "365d"}),
    "a delay": ("add", [], {}, {"delay": "1.5s"}),
    "a delay of a day": ("add", [], {}, {"delay": "1d"}),
    "a moment": ("add", [], {}, {"eta": LATER}),
    "an end in an hour": ("add", [], {}, {"expires": "1h"}),
    "an end at a moment, with a delay": ("add", [], {}, {"delay": 60, "expires": LATER}),
    "an id": ("add", [], {}, {"id": "käse/1"}),
    "an id that counts after its end": ("add", [], {}, {"id": "a", "once": True, "delay": 1}),
    "retries": ("add", [], {}, {"retries": 0}),
    "time limits": ("add", [], {}, {"soft_time_limit": 1, "time_limit": "2.5s", "retries": 7, "headers": {"x": None}}),
    "a version": ("add@12", [], {}, {}),
    "a type of all letters": ("a.B-c_d:e/f9", [], {}, {}),
    "values of many types": ("add", [1.5, 2**70, b"\x00", LATER, "🦊", [[], {}]], {"none": None, "deep": {"a": [1]}},
                             {}),
    "a key": ("crawl", ["ann"], {}, NAMED),
    "a key and a name": ("index", ["ann"], {}, NAMED),
    "a name": ("sync", ["ann"], {}, NAMED),
    "a long name": ("sync", ["ü" * 100], {}, NAMED),
    "a name until it starts": ("sync", ["ann"], {}, {"unique_until": "start", **NAMED}),
    "a name for a time": ("sync", ["ann"], {}, {"unique_for": "10m", **NAMED}),
    "a name that replaces": ("sync", ["ann"], {}, {"on_duplicate": "replace", "delay": 5, **NAMED}),
    "a throttled name": ("sync", ["ann"], {}, {"throttle": 10, "id": "x", **NAMED}),
    "a debounced name": ("sync", ["ann"], {}, {"debounce": 5, **NAMED}),
    "a debounced name with a bound": (
        "sync", ["ann"], {}, {"debounce": 5, "debounce_max": "1m", "expires": "1h", **NAMED}
    ),
}  # fmt: skip

KEYED = {"crawl": "key", "sync": "unique_key", "index": "key unique_key"}
"""Types whose first argument is the key or the name, which another program gives as an option."""

RECORD = {"outcome": "raised", "type": "ValueError", "message": "no: ü", "traceback": "Traceback …", "attempt": 4}
ENDINGS: Mapping[str, tuple[list[Any], dict[str, Any]]] = {
    "completed": (["completed", {"sum": 3}, 1795530739638.0, 1795530739000.0], {"value": {"sum": 3}}),
    "completed with nothing": (["completed", None, 1.0, 1.0], {"value": None}),
    "completed with a class": (["completed", Address("Main", 7), 1.0, 1.0], {"value": {"street": "Main", "number": 7}}),
    "completed, and not kept": (["completed"], {"error": "ResultNotKept"}),
    "dead": (["dead", RECORD], {"error": "TaskFailed", "type": "ValueError", "message": "no: ü"}),
    "dead with a poor record": (["dead", {}], {"error": "TaskFailed", "type": "Error", "message": ""}),
    "cancelled": (["cancelled", {"by": "ann", "at": 1, "call": "t"}], {"error": "TaskCancelled", "by": "ann"}),
    "expired": (["expired", {"by": "expires", "at": 1}], {"error": "TaskExpired"}),
}


def tagged(value: Any) -> Any:
    """A value in what JSON has, and objects with a `$` for the rest."""
    match value:
        case None | bool():
            return value
        case str():
            return {"$text": [value[0], len(value)]} if len(value) > 100 and len(set(value)) == 1 else value
        case int():
            return value if abs(value) < SAFE else {"$int": hex(value)}
        case float():
            return {"$float": repr(value)}
        case bytes():
            return {"$bytes": compact(value)}
        case list():
            same = len(value) > 100 and all(item is value[0] for item in value)
            return {"$list": [value[0], len(value)]} if same else _deep(value) or [tagged(item) for item in value]
        case dict():
            if all(isinstance(key, str) for key in value) and "__proto__" not in value:
                return {key: tagged(item) for key, item in value.items()}
            return {"$map": [[tagged(key), tagged(item)] for key, item in value.items()]}
    return of_python(value)


def of_python(value: Any) -> dict[str, Any]:
    """The same for types that other languages may lack."""
    match value:
        case tuple() | set() | frozenset():
            return {f"${type(value).__name__}": [tagged(item) for item in value]}
        case datetime():
            return {"$datetime": [value.isoformat(), value.fold, getattr(value.tzinfo, "key", None)]}
        case time():
            return {"$time": [value.isoformat(), value.fold]}
        case timedelta():
            return {"$timedelta": [value.days, value.seconds, value.microseconds]}
        case date():
            return {"$date": value.isoformat()}
        case Decimal() | UUID():
            return {f"${type(value).__name__.lower()}": str(value)}
        case PurePosixPath():
            return {"$path": str(value)}
    raise TypeError(type(value))


def _deep(value: list[Any]) -> dict[str, int] | None:
    depth = 1
    while len(value) == 1 and isinstance(value[0], list):
        value, depth = value[0], depth + 1
    return {"$nested": depth} if depth > 100 and not value else None


def compact(data: bytes) -> str:
    """Hexadecimal, with runs of the same byte told by their length."""
    words = [""]
    for byte, run in groupby(data):
        size = len(list(run))
        if size > 16:
            words += [f"{byte:02x}*{size}", ""]
        else:
            words[-1] += f"{byte:02x}" * size
    return " ".join(word for word in words if word)


def expanded(text: str) -> bytes:
    """The bytes that such words mean."""
    return b"".join(
        bytes.fromhex(digits) * int(times or 1) for digits, _, times in (word.partition("*") for word in text.split())
    )


def message(case: Case) -> dict[str, Any]:
    """A call, and what is sent for it."""
    type, args, kwargs, said = case
    sender = app._sender(type, dict(said))
    call = sender._call
    told = {**call.options, "token": TOKEN} if call.id is not None else dict(call.options)
    options = {name: value if isinstance(value, int) else tagged(value) for name, value in said.items()}
    if type in KEYED:
        options |= dict.fromkeys(KEYED[type].split(), args[0])
    told.pop("flow", None)  # who knows the declaration says it; workers do
    name, _, version = type.partition("@")
    return {
        "type": name,
        "args": tagged(args),
        "kwargs": tagged(kwargs),
        "options": options | ({"version": int(version)} if version else {}),
        "queue": call.queue,
        "message": compact(sender._pack(tuple(args), kwargs, call.headers)),
        "told": compact(enqueue_options(told)),
    }


def vectors() -> dict[str, Any]:
    """All of them. Raises AssertionError where the codec does not do what is said here."""
    for data, value in RECEIVED.values():
        assert codec.unpack(expanded(data)) == value
    refused = {**REFUSED, "tuples that are too deep": compact(bytes.fromhex(deep_extensions(33)))}
    for name, data in refused.items():
        try:
            raise AssertionError(f"{name}: it is read as {codec.unpack(expanded(data))!r:.80}")
        except DecodeError:
            pass
    return {
        "about": "made by docs/vectors.py, which says what this means",
        "token": TOKEN,
        "values": [
            {"name": name, "value": tagged(value), "bytes": compact(codec.pack(value))}
            for name, value in VALUES.items()
        ],
        "received": [{"name": name, "bytes": data, "value": tagged(value)} for name, (data, value) in RECEIVED.items()],
        "refused": [{"name": name, "bytes": data} for name, data in refused.items()],
        "messages": [{"name": name, **message(case)} for name, case in MESSAGES.items()],
        "endings": [
            {"name": name, "bytes": compact(codec.pack(element)), **{key: tagged(item) for key, item in told.items()}}
            for name, (element, told) in ENDINGS.items()
        ],
    }


def text() -> str:
    """The file: one vector a line, so that a change is seen where it is."""
    parts = []
    for name, items in vectors().items():
        if isinstance(items, list):
            lines = ",\n".join(f"  {json.dumps(item, ensure_ascii=True)}" for item in items)
            parts.append(f" {json.dumps(name)}: [\n{lines}\n ]")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(items)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Writes the file; with --check: 1 if it is another."""
    if "--check" not in arguments:
        PLACE.parent.mkdir(exist_ok=True)
        PLACE.write_text(text(), "utf-8")
        return 0
    if PLACE.read_text("utf-8") == text():
        return 0
    print(f"{PLACE.name} is not what the code says: run python docs/vectors.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
