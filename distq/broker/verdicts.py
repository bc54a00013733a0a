"""Verdicts in wire form: what becomes of an entry that a worker holds. What they mean is in lua/parts/settle.lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Verdicts(NamedTuple):
    """Verdicts in wire form, three arguments each (see lua/parts/settle.lua)."""

    number: int
    items: bytes


NO_VERDICTS = Verdicts(0, b"")

COMPLETE, AGAIN = b"complete", b"complete_again"
"""AGAIN: there are records of attempts, or a memory."""


def verdict(entry: bytes, word: bytes, type: bytes, number: int, blob: bytes) -> bytes:
    """One verdict in wire form."""
    return verdict_like(verdict_kind(word, type, number), entry, blob)


def released(entries: Sequence[bytes]) -> Verdicts:
    """What was not started goes back in front, in its order."""
    back = [verdict(entry, b"release", b"", 0, b"") for entry in reversed(entries)]
    return Verdicts(len(back), b"".join(back))


def verdict_kind(word: bytes, type: bytes, number: int) -> bytes:
    """What equal verdicts have in common, with the ends of its neighbours, so that `verdict_like` only joins."""
    kind = b"%b %d %b" % (word, number, type)
    return b"\r\n$%d\r\n%b\r\n" % (len(kind), kind)


def again(completes: bytes) -> bytes:
    """The verdict of a kind of messages, for one that has used its memory."""
    word, *rest = completes.split(b"\r\n")[2].split(b" ", 2)
    return verdict_kind(AGAIN, rest[1], int(rest[0])) if word == COMPLETE else completes


LENGTHS = [b"$%d\r\n" % number for number in range(512)]
"""What stands before an argument of so many bytes: a table is twice as fast as `%d`."""


def verdict_like(kind: bytes, entry: bytes, blob: bytes) -> bytes:
    """One verdict of this kind in wire form. This is the hot path of a worker."""
    of_entry, of_blob = len(entry), len(blob)
    return b"".join(
        (
            LENGTHS[of_entry] if of_entry < 512 else b"$%d\r\n" % of_entry, entry, kind,
            LENGTHS[of_blob] if of_blob < 512 else b"$%d\r\n" % of_blob, blob, b"\r\n",
        )
    )  # fmt: skip
