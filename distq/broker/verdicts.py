"""Verdicts in wire form: what becomes of an entry that a worker holds. What they mean is in lua/parts/settle.lua."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple


class Verdicts(NamedTuple):
    """Verdicts in wire form, three arguments each (see lua/parts/settle.lua)."""

    number: int
    items: bytes


NO_VERDICTS = Verdicts(0, b"")

SECONDS = struct.Struct(">d")
"""In front of the blob of what is listed."""
RESEND_WINDOW_MS = 60_000
"""Every ending is kept for so long: a call that is sent again must meet it."""

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


def completion(type: bytes, ttl_s: int, has_records: bool, kept: tuple[int, int] | None) -> bytes:
    """The kind of what has come to its end. `kept`: it is listed, among so many, for so many ms; then the blob begins
    with how long it took, as SECONDS (lua/parts/listed.lua)."""
    word = AGAIN if has_records else COMPLETE
    of_list = word if kept is None else b"%b+%d+%d" % (word, *kept)
    return verdict_kind(of_list, type, max(ttl_s * 1000, RESEND_WINDOW_MS))


def again(completes: bytes) -> bytes:
    """The verdict of a kind of messages, for one that has used its memory."""
    word, *rest = completes.split(b"\r\n")[2].split(b" ", 2)
    plain, plus, bounds = word.partition(b"+")
    return verdict_kind(AGAIN + plus + bounds, rest[1], int(rest[0])) if plain == COMPLETE else completes


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
