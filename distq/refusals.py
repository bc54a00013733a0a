"""What cannot travel, and why: the path of the value, and what to pass instead. Imported when something is refused."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from distq.classes import is_model
from distq.errors import NotSerializable
from distq.extensions import MAX_INT_BYTES, MAX_NESTED

MAX_DEPTH = 400

Pack = Callable[[Any], bytes]


def explain(pack: Pack, parts: list[tuple[str, Any]], error: Exception) -> NotSerializable:
    """The first value that cannot be packed, with its path; packing told nothing but that there is one."""
    for path, value in parts:
        found = _find(pack, path, value, set(), 0)
        if found is not None:
            return NotSerializable(found)
    for path, value in parts:  # what is deep enough by itself is too deep in the two lists of a call
        problem = _problem(pack, [[value]])
        if problem is not None:
            return NotSerializable(f"{path}: {problem}")
    return NotSerializable(f"not serializable: {error}")


def _find(pack: Pack, path: str, value: Any, above: set[int], depth: int) -> str | None:
    if id(value) in above:
        return f"{path}: the value contains itself"
    if depth > MAX_DEPTH:
        return f"{path[:200]}…: nested more than {MAX_DEPTH} levels deep"
    problem = _problem(pack, value)
    if problem is None:
        return None
    for name, child in _children(value):
        found = _find(pack, path + name, child, above | {id(value)}, depth + 1)
        if found is not None:
            return found
    return f"{path if len(path) < 400 else path[:200] + '…'}: {problem}"


def _problem(pack: Pack, value: Any) -> str | None:
    try:
        pack(value)
    except UnicodeEncodeError:
        return "str with lone surrogates is not serializable; encode it to bytes"
    except OverflowError:
        return f"int is too large to be serializable, at most {MAX_INT_BYTES} bytes; pass it as text"
    except Exception as error:
        if isinstance(error, RecursionError) or "recursion" in str(error):
            return f"nested too deeply: at most {MAX_NESTED} tuples, sets or objects in each other, and 1000 lists"
        return f"{type(value).__name__} is not serializable; {_hint(value)}"
    return None


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
    if is_model(value):
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
