"""The classes that an application knows, and that values may become: found by its annotations, never by an import."""

from __future__ import annotations

import dataclasses
import sys
import threading
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any


def name_of(cls: type) -> str:
    """As it travels."""
    return f"{cls.__module__}.{cls.__qualname__}"


def is_model_class(cls: type) -> bool:
    """Whether it is of pydantic, which is imported by who has one."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def is_model(value: object) -> bool:
    """Whether it is an instance of such a class."""
    return is_model_class(type(value))


class Classes:
    """Those that an application knows."""

    def __init__(self) -> None:
        self._known: dict[str, type] = {}
        self._pending: list[Callable[..., Any]] = []
        self._lock = threading.Lock()

    def add(self, *classes: type) -> None:
        """Enums, dataclasses and pydantic models, and those in their fields."""
        for cls in classes:
            self._walk(cls)

    def add_later(self, function: Callable[..., Any]) -> None:
        """The classes in a function's annotations; looked up when a value of an unknown class arrives, since they may
        be defined after the function."""
        self._pending.append(function)

    def find(self, name: object) -> type | None:
        """The class of this name, if it is known. Raises ValueError for what is no name."""
        if not isinstance(name, str):
            raise ValueError("the name of a class is no text")
        if name not in self._known:
            with self._lock:  # who comes while another thread looks must not take the class for unknown
                while self._pending:
                    self._walk_hints(self._pending.pop())
        return self._known.get(name)

    def _walk(self, hint: Any) -> None:
        for part in typing.get_args(hint):
            self._walk(part)
        cls = typing.get_origin(hint) or hint
        if not isinstance(cls, type) or name_of(cls) in self._known:
            return
        if issubclass(cls, Enum):
            self._known[name_of(cls)] = cls
        elif dataclasses.is_dataclass(cls) or is_model_class(cls):
            self._known[name_of(cls)] = cls
            self._walk_hints(cls)

    def _walk_hints(self, holder: Any) -> None:
        try:
            hints = list(typing.get_type_hints(holder).values())
        except Exception:  # an annotation that names something unknown must not hide the others
            hints = [hint for hint in getattr(holder, "__annotations__", {}).values() if not isinstance(hint, str)]
        for hint in hints:
            self._walk(hint)
