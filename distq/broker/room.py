"""What `enqueue` answers, also where there is no room (lua/parts/bounds.lua), and where to wait for some."""

from __future__ import annotations

from typing import NamedTuple

from distq.broker import keys
from distq.broker.scripts import Reply, encode

FULL = b"full"


class Full(NamedTuple):
    """There is no room, by the bound of a type, or of the queue (""): so many wait, and no more may."""

    how: str
    most: int
    pending: int
    retry_s: float
    """In so many seconds there may be room."""
    type: str


Word = bytes | Full
"""What became of a message: "created", …, or why it is not there."""


def words(reply: Reply, number: int) -> list[Word]:
    """For each of so many messages. The script says one word for all, or one for each."""
    if len(reply) == 1:
        return list(reply) * number
    full = _full(reply[number]) if len(reply) > number else None
    return [full if full is not None and word == FULL else word for word in reply[:number]]


def _full(told: bytes) -> Full:
    how, most, pending, retry_ms, type = told.decode().split(" ", 4)
    return Full(how, int(most), int(pending), int(retry_ms) / 1000, type)


def place(prefix: str, type: str) -> str:
    """The key of the marker that there is room."""
    return keys.key(prefix, "ROOM", type)


def wait(place: str, seconds: float) -> bytes:
    """Blocks for so long until there is."""
    return encode("BZPOPMIN", place, f"{seconds:.3f}")
