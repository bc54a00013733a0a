"""Reading a large key in small pages, as generators of commands: whoever runs them sends what they yield."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from distq.broker.scripts import encode
from distq.broker.verbs import Command

PAGE = 500

Reading = Generator["Command[Any] | bytes", Any, None]
"""Yields commands, and takes their replies."""


def scan(command: str, name: str, take: Callable[[Any], Any], size: int = PAGE) -> Reading:
    """A set, hash or sorted set in pages: all that is in it from begin to end is seen, maybe twice."""
    cursor: bytes | None = None
    while cursor != b"0":
        cursor, page = yield encode(command, name, cursor or "0", "COUNT", size)
        take(page)


def tail(name: str, take: Callable[[Any], Any]) -> Reading:
    """A list in pages, from its end: others take from its front, and so nothing is left out."""
    end, page = -1, [b""]
    while page:
        page = yield encode("LRANGE", name, end - PAGE + 1, end)
        take(page[::-1])
        end -= PAGE
