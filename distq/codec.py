"""What travels: arguments and results as msgpack with extension types of our own. Never pickle, no import by name.

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

A class travels as its name and is rebuilt only if the application knows it: from the annotations of its tasks, or from
`register`. Everywhere else its data arrives as plain values. What cannot travel is refused with its path.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import msgpack

from distq.errors import NotSerializable

BIG_INT, TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID, PATH, ENUM, DATACLASS, MODEL = range(14)

MAX_INT_BYTES = 8192
"""A longer integer is refused: turning one into text takes time that grows with its square."""
MAX_DEPTH = 400
MAX_NESTED = 32
"""Extensions in each other. Reading one takes 42 kB of the C stack, and a stack that overflows kills the process."""

Plain = Callable[[Any], Any]

Call = tuple[list[Any], dict[str, Any], dict[str, Any]]
"""(args, kwargs, headers)."""

SHALLOW = 1024
"""Bytes. A longer body may be nested deeper than msgpack reads, for it packs empty lists and dicts one level deeper."""

SMALL = 1 << 14
"""Bytes of a body that a reused unpacker reads; it never gives its buffer back."""


class DecodeError(ValueError):
    """These bytes are no value of ours."""


class _Packers(threading.local):
    """A packer for each thread: making one costs as much as packing a small call."""

    def __init__(self, default: Plain) -> None:
        self.pack: Callable[[Any], bytes] = msgpack.Packer(default=default, strict_types=True, use_bin_type=True).pack


class Codec:
    """Packs and unpacks values; knows the classes of one application."""

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}
        self._pending: list[Callable[..., Any]] = []
        self._lock = threading.Lock()
        self.packers = _Packers(partial(self._to_extension, 0))
        """For who packs much: more than SHALLOW bytes have to be looked at with `is_too_deep`; `pack` and `pack_call`
        explain what is refused."""
        self._unpack = self._unpacker(0)

    # -- packing -----------------------------------------------------------------------------------------------------

    def pack(self, value: Any, name: str = "result") -> bytes:
        """A value as bytes. Raises NotSerializable with the path of what cannot travel, beginning with `name`."""
        try:
            return _readable(self.packers.pack(value))
        except Exception as error:
            raise self._explain([(name, value)], error) from None

    def result_packer(self) -> Callable[[Any], bytes]:
        """`pack` for one thread, without the way to its packer."""
        fast = self.packers.pack

        def pack(value: Any) -> bytes:
            try:
                return _readable(fast(value))
            except Exception as error:
                raise self._explain([("result", value)], error) from None

        return pack

    def pack_call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any] | None = None
    ) -> bytes:
        """The body of a message: [args], [args, kwargs] or [args, kwargs, headers]."""
        call: list[Any] = [list(args)]
        if headers:
            call += [dict(kwargs), dict(headers)]
        elif kwargs:
            call.append(dict(kwargs))
        try:
            return _readable(self.packers.pack(call))
        except Exception as error:
            parts = [(f"args[{i}]", value) for i, value in enumerate(args)]
            parts += [(f"kwargs.{key}", value) for key, value in kwargs.items()]
            parts += [(f"headers.{key}", value) for key, value in (headers or {}).items()]
            raise self._explain(parts, error) from None

    def _inner(self, value: Any, level: int = 0) -> bytes:
        """A value inside `level` extensions; the thread's packer is busy with what is around it."""
        if level > MAX_NESTED:
            raise RecursionError
        default = partial(self._to_extension, level)
        return _readable(msgpack.packb(value, default=default, strict_types=True, use_bin_type=True))

    def _to_extension(self, level: int, value: Any) -> Any:
        """For msgpack: what it does not know itself. `level`: inside how many extensions."""
        encode = _ENCODERS.get(type(value))
        if encode is not None:
            code, content = encode(value)
            return msgpack.ExtType(code, content if isinstance(content, bytes) else self._inner(content, level + 1))
        if isinstance(value, Enum):
            return msgpack.ExtType(ENUM, self._inner([_name(type(value)), value.value], level + 1))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return msgpack.ExtType(DATACLASS, self._inner([_name(type(value)), fields], level + 1))
        if _is_model(value):
            fields = value.model_dump(mode="python", round_trip=True)
            return msgpack.ExtType(MODEL, self._inner([_name(type(value)), fields], level + 1))
        for base, plain in _BASES:
            if isinstance(value, base):
                simple = plain(value)
                is_native = type(simple) not in _ENCODERS or (type(simple) is int and -(1 << 63) <= simple < 1 << 64)
                return simple if is_native else self._to_extension(level, simple)
        raise TypeError(f"{type(value).__name__} is not serializable")

    # -- unpacking ---------------------------------------------------------------------------------------------------

    def unpack(self, data: bytes) -> Any:
        """The value in these bytes. Raises DecodeError for anything that is none; never runs anything named in them."""
        try:
            return self._unpack(data)
        except (RecursionError, msgpack.StackError):
            raise DecodeError("nested too deeply") from None
        except Exception as error:
            raise DecodeError(f"not decodable: {error or type(error).__name__}") from None

    def unpack_call(self, body: bytes) -> Call:
        """The call in a message's body. Raises DecodeError."""
        return _as_call(self.unpack(body))

    def call_reader(self) -> Callable[[bytes], Call]:
        """`unpack_call` for one thread: it reuses an unpacker, which takes half of the time for a small body."""
        stream, end = self._stream(), 0

        def read(body: bytes) -> Call:
            nonlocal stream, end
            if len(body) <= SMALL:
                try:
                    stream.feed(body)
                    end += len(body)
                    call = stream.unpack()
                    if stream.tell() == end:
                        if type(call) is list and len(call) == 1 and type(call[0]) is list:
                            return call[0], {}, {}
                        return _as_call(call)
                except Exception:
                    call = None  # unpack_call says what is wrong
                stream, end = self._stream(), 0  # the old one may be in the middle of a value
            return self.unpack_call(body)

        return read

    def _stream(self) -> Any:
        return msgpack.Unpacker(
            ext_hook=partial(self._from_extension, 0), strict_map_key=False, raw=False, timestamp=3,
            max_buffer_size=4 * SMALL, max_array_len=SMALL, max_map_len=SMALL,
        )  # fmt: skip

    def _unpacker(self, level: int) -> Callable[[bytes], Any]:
        hook = partial(self._from_extension, level)
        return partial(msgpack.unpackb, ext_hook=hook, strict_map_key=False, raw=False, timestamp=3)

    def _from_extension(self, level: int, code: int, data: bytes) -> Any:
        if code == BIG_INT:
            if len(data) > MAX_INT_BYTES:
                raise ValueError("an integer is too long")
            return int.from_bytes(data, "big", signed=True)
        if code == UUID:
            return uuid.UUID(bytes=bytes(data))
        if level == MAX_NESTED:
            raise RecursionError
        unpack = self._unpacker(level + 1)
        decode = _DECODERS.get(code)
        if decode is not None:
            return decode(unpack(data))
        if code in (ENUM, DATACLASS, MODEL):
            name, content = unpack(data)
            known = self._class(name)
            return content if known is None else _REBUILD[code](known, content)
        raise ValueError(f"extension {code} is unknown")

    # -- known classes -----------------------------------------------------------------------------------------------

    def register(self, *classes: type) -> None:
        """Lets enums, dataclasses and pydantic models arrive as themselves; also those in their fields."""
        for cls in classes:
            self._walk(cls)

    def register_annotations(self, function: Callable[..., Any]) -> None:
        """Registers the classes in a function's annotations; looked up when a value of an unknown class arrives, since
        they may be defined after the function."""
        self._pending.append(function)

    def _class(self, name: object) -> type | None:
        if not isinstance(name, str):
            raise ValueError("the name of a class is no text")
        if name not in self._classes:
            with self._lock:  # who comes while another thread looks must not take the class for unknown
                while self._pending:
                    self._walk_hints(self._pending.pop())
        return self._classes.get(name)

    def _walk(self, hint: Any) -> None:
        for part in typing.get_args(hint):
            self._walk(part)
        cls = typing.get_origin(hint) or hint
        if not isinstance(cls, type) or _name(cls) in self._classes:
            return
        if issubclass(cls, Enum):
            self._classes[_name(cls)] = cls
        elif dataclasses.is_dataclass(cls) or _is_model_class(cls):
            self._classes[_name(cls)] = cls
            self._walk_hints(cls)

    def _walk_hints(self, holder: Any) -> None:
        try:
            hints = list(typing.get_type_hints(holder).values())
        except Exception:  # an annotation that names something unknown must not hide the others
            hints = [hint for hint in getattr(holder, "__annotations__", {}).values() if not isinstance(hint, str)]
        for hint in hints:
            self._walk(hint)

    # -- explaining --------------------------------------------------------------------------------------------------

    def _explain(self, parts: list[tuple[str, Any]], error: Exception) -> NotSerializable:
        """The first value that cannot be packed, with its path; packing told nothing but that there is one."""
        for path, value in parts:
            found = self._find(path, value, set(), 0)
            if found is not None:
                return NotSerializable(found)
        for path, value in parts:  # what is deep enough by itself is too deep in the two lists of a call
            problem = self._problem([[value]])
            if problem is not None:
                return NotSerializable(f"{path}: {problem}")
        return NotSerializable(f"not serializable: {error}")

    def _find(self, path: str, value: Any, above: set[int], depth: int) -> str | None:
        if id(value) in above:
            return f"{path}: the value contains itself"
        if depth > MAX_DEPTH:
            return f"{path[:200]}…: nested more than {MAX_DEPTH} levels deep"
        problem = self._problem(value)
        if problem is None:
            return None
        for name, child in _children(value):
            found = self._find(path + name, child, above | {id(value)}, depth + 1)
            if found is not None:
                return found
        return f"{path if len(path) < 400 else path[:200] + '…'}: {problem}"

    def _problem(self, value: Any) -> str | None:
        try:
            self._inner(value)
        except UnicodeEncodeError:
            return "str with lone surrogates is not serializable; encode it to bytes"
        except OverflowError:
            return f"int is too large to be serializable, at most {MAX_INT_BYTES} bytes; pass it as text"
        except Exception as error:
            if isinstance(error, RecursionError) or "recursion" in str(error):
                return f"nested too deeply: at most {MAX_NESTED} tuples, sets or objects in each other, and 1000 lists"
            return f"{type(value).__name__} is not serializable; {_hint(value)}"
        return None


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_too_deep(data: bytes) -> bool:
    """Whether msgpack has packed what it will not read."""
    if len(data) <= SHALLOW or not (b"\x90" in data or b"\x80" in data):  # [] and {}
        return False
    reader = msgpack.Unpacker(max_buffer_size=0)
    reader.feed(data)
    try:
        reader.skip()
    except msgpack.StackError:
        return True
    return False


def _readable(data: bytes) -> bytes:
    if is_too_deep(data):
        raise RecursionError
    return data


def _as_call(call: Any) -> Call:
    if type(call) is list:
        size = len(call)
        if size == 1 and type(call[0]) is list:
            return call[0], {}, {}
        if 2 <= size <= 3 and type(call[0]) is list and all(_is_keywords(part) for part in call[1:]):
            return call[0], call[1], call[2] if size == 3 else {}
    raise DecodeError("a call is [args], [args, kwargs] or [args, kwargs, headers]")


def _is_keywords(part: object) -> bool:
    return type(part) is dict and all(type(key) is str for key in part)


def _is_model_class(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def _is_model(value: object) -> bool:
    return _is_model_class(type(value))


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


_ENCODERS: dict[type, Callable[[Any], tuple[int, Any]]] = {
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

_DECODERS: dict[int, Plain] = {
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

_REBUILD: dict[int, Callable[[Any, Any], Any]] = {
    ENUM: lambda cls, content: cls(content),
    DATACLASS: _rebuild_dataclass,
    MODEL: _rebuild_model,
}

_combine, _from_ordinal = datetime.combine, date.fromordinal  # freezegun replaces a module's `datetime` and `date`

_BASES: tuple[tuple[type, Plain], ...] = (
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


def _children(value: Any) -> list[tuple[str, Any]]:
    """What a value consists of, each with the piece that it adds to the path."""
    try:
        return _parts(value)
    except Exception:  # it cannot even be looked at, such as a proxy for nothing
        return []


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r:.40}]", key) for key in value if not isinstance(key, str)] + [
            (f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.40}]", child)
            for key, child in value.items()
        ]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{i}]", child) for i, child in enumerate(value)]
    if isinstance(value, Enum):
        return [(".value", value.value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    if _is_model(value):
        return [(f".{name}", child) for name, child in value]
    return []


def _hint(value: Any) -> str:
    try:
        return _advice(value)
    except Exception:
        return "pass plain data instead of the object"


def _advice(value: Any) -> str:
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | type):
        return "pass a name and look it up in the handler"
    if isinstance(value, types.GeneratorType | map | filter | range):
        return "pass a list"
    if isinstance(value, types.CoroutineType):
        return "await it first"
    if hasattr(value, "read") or hasattr(value, "fileno"):
        return "pass its path and open it in the handler"
    if hasattr(value, "_sa_instance_state") or hasattr(value, "_meta"):
        return "pass its primary key and load it in the handler"
    if hasattr(value, "tolist"):
        return "pass value.tolist()"
    return "pass an id or plain data instead of the object"
