"""What travels: arguments and results as msgpack with extension types of our own. Never pickle, no import by name.

`extensions` has the types that travel, and their bytes.

A class travels as its name and is rebuilt only if the application knows it: from the annotations of its tasks, or from
`register`. Everywhere else its data arrives as plain values. What cannot travel is refused with its path.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

import msgpack

from distq.classes import Classes, is_model, name_of
from distq.errors import NotSerializable
from distq.extensions import (
    BASES,
    BIG_INT,
    DATACLASS,
    DECODERS,
    ENCODERS,
    ENUM,
    MAX_INT_BYTES,
    MAX_NESTED,
    MODEL,
    REBUILD,
    UUID,
    Plain,
)

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
        self._default = default
        self.renew()

    def renew(self) -> Callable[[Any], bytes]:
        """A packer never gives back the room that its largest value took: behind one that was too large, another."""
        pack: Callable[[Any], bytes] = msgpack.Packer(default=self._default, strict_types=True, use_bin_type=True).pack
        self.pack = pack
        return pack


class Codec:
    """Packs and unpacks values; knows the classes of one application."""

    def __init__(self) -> None:
        self._classes = Classes()
        self.packers = _Packers(partial(self._to_extension, 0))
        """For who packs much: more than SHALLOW bytes have to be looked at with `is_too_deep`; `pack` and `pack_call`
        explain what is refused."""
        self._unpack = self._unpacker(0)

    def register(self, *classes: type) -> None:
        """Lets enums, dataclasses and pydantic models arrive as themselves; also those in their fields."""
        self._classes.add(*classes)

    def register_annotations(self, function: Callable[..., Any]) -> None:
        """Registers the classes in a function's annotations."""
        self._classes.add_later(function)

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

    def _explain(self, parts: list[tuple[str, Any]], error: Exception) -> NotSerializable:
        from distq.refusals import explain  # noqa: PLC0415 (who sends only what can travel never needs it)

        return explain(self._inner, parts, error)

    def _inner(self, value: Any, level: int = 0) -> bytes:
        """A value inside `level` extensions; the thread's packer is busy with what is around it."""
        if level > MAX_NESTED:
            raise RecursionError
        default = partial(self._to_extension, level)
        return _readable(msgpack.packb(value, default=default, strict_types=True, use_bin_type=True))

    def _to_extension(self, level: int, value: Any) -> Any:
        """For msgpack: what it does not know itself. `level`: inside how many extensions."""
        encode = ENCODERS.get(type(value))
        if encode is not None:
            code, content = encode(value)
            return msgpack.ExtType(code, content if isinstance(content, bytes) else self._inner(content, level + 1))
        if isinstance(value, Enum):
            return msgpack.ExtType(ENUM, self._inner([name_of(type(value)), value.value], level + 1))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return msgpack.ExtType(DATACLASS, self._inner([name_of(type(value)), fields], level + 1))
        if is_model(value):
            fields = value.model_dump(mode="python", round_trip=True)
            return msgpack.ExtType(MODEL, self._inner([name_of(type(value)), fields], level + 1))
        for base, plain in BASES:
            if isinstance(value, base):
                simple = plain(value)
                is_native = type(simple) not in ENCODERS or (type(simple) is int and -(1 << 63) <= simple < 1 << 64)
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
        decode = DECODERS.get(code)
        if decode is not None:
            return decode(unpack(data))
        if code in (ENUM, DATACLASS, MODEL):
            name, content = unpack(data)
            known = self._classes.find(name)
            return content if known is None else REBUILD[code](known, content)
        raise ValueError(f"extension {code} is unknown")


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
