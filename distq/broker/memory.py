"""What a task remembers from run to run, and its progress: a HASH beside it. One verb writes and reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from distq.broker.keys import key
from distq.broker.scripts import Reply, encode, encode_items, script
from distq.broker.verbs import Command

MOST_FIELDS = 1000
MOST_BYTES = 1 << 20
"""Of all that one task remembers."""

PROGRESS = b"progress"
"""The field that is no memory; lua/checkpoint.lua knows it."""


def field(kind: Literal["step", "rows"], name: str) -> bytes:
    """Where the result of a step is, or how far a task has come with some rows."""
    return f"{kind}:{name}".encode("utf-8", "replace")


def checkpoint(
    prefix: str, worker: str, entry: bytes, pairs: Mapping[bytes, bytes]
) -> Command[tuple[str, dict[bytes, bytes]]]:
    """The word, "ok", "gone" or "full", and if `pairs` is empty all that is remembered."""
    verb = script("checkpoint")
    flat = [item for pair in pairs.items() for item in pair]
    items = encode_items((worker, entry, MOST_FIELDS, MOST_BYTES, *flat))
    return Command(verb, verb.command_head(prefix.encode(), 4 + len(flat)) + items, _parse)


def progress(prefix: str, id: str) -> bytes:
    """Asks how far a task is, as a plain command."""
    return encode("HGET", key(prefix, "MEMORY", id), PROGRESS)


def _parse(reply: Sequence[Reply]) -> tuple[str, dict[bytes, bytes]]:
    word, *flat = reply
    return word.decode(), dict(zip(flat[::2], flat[1::2], strict=True))
