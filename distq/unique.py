"""Calls that are one: of those with the same name there is one task at a time. Pure.

A *name* is text that a call's arguments give, beside the type. It travels in the message (lua/parts/head.lua), and the
enqueue script decides by it (lua/parts/names.lua) as `told` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast
from uuid import UUID

import msgpack

from distq.durations import Duration, seconds
from distq.errors import ConfigurationError, did_you_mean
from distq.extensions import FROZENSET, SET
from distq.flow import Arguments

try:
    from _blake2 import blake2b  # the interpreter's own: hashlib brings OpenSSL, see broker/scripts.py
except ImportError:
    from hashlib import blake2b

By = str | tuple[str, ...] | list[str] | Callable[[Arguments], Any] | bool
"""Names of parameters, what makes a key of the arguments, or True: all arguments."""

MOST_NAME = 200
"""Bytes; longer ones travel as their digest."""

MOST_TIME_S = 366 * 86400

DUPLICATES = ("return", "raise", "replace")


class UniqueOptions(TypedDict, total=False):
    """Options of `@app.task(...)` and of `task.options(...)`."""

    unique: By
    unique_until: Literal["done", "start"]
    unique_for: Duration
    on_duplicate: Literal["return", "raise", "replace"]
    throttle: Duration
    debounce: Duration
    debounce_max: Duration


@dataclass(frozen=True)
class Unique:
    """The policy of calls."""

    by: tuple[str, ...] | Callable[[Arguments], Any] | None
    """None: all arguments."""
    until: Literal["done", "start", "time"]
    on_duplicate: Literal["return", "raise", "replace"] = "return"
    for_ms: int = 0
    debounce_ms: int = 0
    debounce_max_ms: int = 0
    """0: for as long as there are calls."""

    def told(self) -> dict[str, Any]:
        """As the options of the enqueue script."""
        said: dict[str, Any] = {"unique": True}
        if self.on_duplicate == "replace":
            said["replace"] = True
        if self.for_ms:
            said["for"] = self.for_ms
        if self.debounce_ms:
            said |= {"debounce": True, "delay": self.debounce_ms}
        if self.debounce_max_ms:
            said["debounce_max"] = self.debounce_max_ms
        return said

    def of(self, arguments: Arguments, pack: Callable[[Any], bytes]) -> dict[str, bytes]:
        """What the message of a call says. Raises NotSerializable for a key that cannot travel."""
        value: Any
        if self.by is None:
            value = dict(arguments)
        elif callable(self.by):
            value = self.by(arguments)
            if value is None:  # this one is not
                return {}
        else:
            values = [arguments[name] for name in self.by]
            value = values[0] if len(values) == 1 else values
        return {{"done": "u", "start": "s", "time": "t"}[self.until]: name_of(value, pack)}

    def check_parameters(self, names: Mapping[str, Any], where: str) -> None:
        """Raises ConfigurationError if a key is a parameter that the function does not have."""
        for name in self.by if isinstance(self.by, tuple) else ():
            if name not in names:
                raise ConfigurationError(
                    f"{where}: unique {name!r:.80} is no parameter of it{did_you_mean(name, names)}; it has: "
                    f"{', '.join(names) or 'none'}; or give a function: unique=lambda p: …"
                )


def name_of(value: Any, pack: Callable[[Any], bytes]) -> bytes:
    """The same for equal values: readable where it is short text or a number, else a digest."""
    if isinstance(value, str | int | UUID) and not isinstance(value, bool):
        text = str(value).encode("utf-8", "surrogatepass")
        if len(text) <= MOST_NAME and not text.startswith(b"#"):
            return text
    return b"#" + blake2b(repr(_read(pack(value))).encode(), digest_size=16).hexdigest().encode()


def _read(packed: bytes) -> Any:
    """What is packed, with what has no order in one."""
    return msgpack.unpackb(packed, strict_map_key=False, ext_hook=_read_ext, object_pairs_hook=_in_order)


def _read_ext(code: int, data: bytes) -> Any:
    try:
        content = _read(data)
    except ValueError:  # not msgpack: a number, bytes
        return code, data
    return code, _in_order(content) if code in (SET, FROZENSET) else content


def _in_order(items: Any) -> list[Any]:
    return sorted(items, key=repr)


# -- what was declared ----------------------------------------------------------------------------------------------


def unique(options: Mapping[str, Any], declared: Mapping[str, Any] = {}) -> Unique | None:
    """What these options say, over those of the declaration. `unique=False` for a call: that it is not."""
    said = {name: value for name, value in {**declared, **options}.items() if name in UniqueOptions.__annotations__}
    if options.get("unique", True) is False or not said:
        return None
    _check_combination(said)
    return _shaped(said)


def said_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that are of names."""
    return {name: options[name] for name in UniqueOptions.__annotations__ if name in options}


_CONTRADICT = {
    "throttle": ("unique_until", "unique_for", "debounce", "debounce_max"),
    "debounce": ("unique_until", "unique_for", "on_duplicate"),
    "unique_until": ("unique_for",),
}
"""An option -> what cannot be said with it."""


def _check_combination(said: Mapping[str, Any]) -> None:
    for name, others in _CONTRADICT.items():
        for other in others:
            if name in said and other in said:
                raise ConfigurationError(
                    f"{name}={said[name]!r:.80} and {other}={said[other]!r:.80} contradict each other: give one"
                )
    if "debounce_max" in said and "debounce" not in said:
        raise ConfigurationError(f"debounce_max={said['debounce_max']!r:.80} bounds a debounce=: give that as well")
    if "unique" not in said:
        name = next(iter(said))
        raise ConfigurationError(
            f'{name}={said[name]!r:.80}: say which calls are one: unique="user_id" (a parameter), unique=("a", "b"), '
            "unique=lambda p: …, unique=True (all arguments), or unique=() (all calls of the type)"
        )


def _shaped(said: Mapping[str, Any]) -> Unique:
    by, on_duplicate = _check_by(said["unique"]), _one_of(said, "on_duplicate", DUPLICATES)
    if "debounce" in said:
        wait = _time_ms(said, "debounce")
        most = _time_ms(said, "debounce_max") if "debounce_max" in said else 0
        if most and most < wait:
            raise ConfigurationError(
                f"debounce_max={said['debounce_max']!r:.80} is below debounce={said['debounce']!r:.80}"
            )
        return Unique(by, "start", debounce_ms=wait, debounce_max_ms=most)
    for name in ("throttle", "unique_for"):
        if name in said:
            if on_duplicate == "replace":
                raise ConfigurationError(f'{name}= and on_duplicate="replace": for the last call to win, use debounce=')
            return Unique(by, "time", on_duplicate, for_ms=_time_ms(said, name))
    return Unique(by, _one_of(said, "unique_until", ("done", "start")), on_duplicate)


def _check_by(said: Any) -> tuple[str, ...] | Callable[[Arguments], Any] | None:
    if said is True:
        return None
    names = (said,) if isinstance(said, str) else said
    if isinstance(names, tuple | list) and all(isinstance(name, str) and name.isidentifier() for name in names):
        return tuple(names)
    if callable(said):
        return cast("Callable[[Arguments], Any]", said)
    raise ConfigurationError(
        f"unique={said!r:.80}: give the name of a parameter, several in a tuple, a function that makes a key of the "
        "arguments, or True for all arguments"
    )


def _one_of(said: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Any:
    value = said.get(name, known[0])
    if value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigurationError(f"{name}={value!r:.80} is none of {', '.join(known)}{hint}")
    return value


def _time_ms(said: Mapping[str, Any], name: str) -> int:
    number = seconds(said[name], name)
    if not 0.001 <= number <= MOST_TIME_S:
        raise ConfigurationError(f"{name}={said[name]!r:.80}: give a time above 0, and at most a year")
    return round(number * 1000)
