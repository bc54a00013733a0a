"""From one queue to another: the verbs, and the steps of a move (docs/decisions/0055).

The two queues share no script, so a move is several. The steps are a generator of commands, which whoever moves runs
over a connection of its own: a caller, a coroutine, or a supervisor that ends what somebody else has begun.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

from distq.broker import keys
from distq.broker.moves import Change, words
from distq.broker.scripts import Argument, Reply, encode, readable, script
from distq.broker.verbs import Command

MOVED = "moved"
ONLY_LEFT = Change("left")
"""Of a move that somebody else has begun: only what has left is brought to its end."""

OVER = frozenset({"ended", "unknown", "taken", "stays"})
"""What is said of a task that had left before, when somebody else has brought it to its end."""

AT_ONCE_BYTES = 1 << 20

Steps = Generator[Command[Any], Any, list[str]]


class Departed(NamedTuple):
    """A task that has left, or the word for why it has not."""

    word: str
    message: bytes = b""
    due_ms: int = 0
    records: Sequence[bytes] = ()


class Note(NamedTuple):
    """A move that is not over."""

    id: str
    token: str
    other: str
    """The queue at the other end."""


def expect(prefix: str, token: str, source: str, ids: Sequence[str]) -> Command[list[str]]:
    """Per id "expected" or "taken"."""
    verb = script("expect")
    return Command(verb, verb.command(prefix.encode(), token, source, *ids), words)


def depart(prefix: str, token: str, target: str, change: Change, ids: Sequence[str]) -> Command[list[Departed]]:
    """What has left, and why others have not."""
    verb = script("depart")
    call = verb.command(prefix.encode(), token, target, *change.arguments, *ids)
    return Command(verb, call, lambda reply: [Departed(readable(each[0]), *each[1:]) for each in reply])


def arrive(prefix: str, token: str, tasks: Sequence[tuple[str, Departed]]) -> Command[list[str]]:
    """Per id "arrived", or "gone": it is not expected."""
    verb, items = script("arrive"), list[Argument]()
    for id, task in tasks:
        items += (id, task.message, task.due_ms, len(task.records), *task.records)
    return Command(verb, verb.command(prefix.encode(), token, *items), words)


def conclude(prefix: str, token: str, ids: Sequence[str]) -> Command[int]:
    """A move is over, as one of its queues sees it."""
    verb = script("conclude")
    return Command(verb, verb.command(prefix.encode(), token, *ids), int)


def transfer(source: str, target: str, ids: Sequence[str], change: Change, token: str = "") -> Steps:
    """Moves tasks between the queues of these prefixes. Per id "moved", or why it stays: "running", "ended", "unknown",
    "taken", … It can end at any step, and be done once more with its token by anybody."""
    token = token or os.urandom(8).hex()
    became: dict[str, str] = dict.fromkeys(ids, "taken")
    found = yield expect(target, token, keys.queue_of(source), ids)
    coming = [id for id, word in zip(ids, found, strict=True) if word == "expected"]
    if not coming:
        return list(became.values())
    departed = yield depart(source, token, keys.queue_of(target), change, coming)
    became |= {id: task.word for id, task in zip(coming, departed, strict=True)}
    left = [(id, task) for id, task in zip(coming, departed, strict=True) if task.word == MOVED]
    missed: list[str] = []
    for some in _parts(left):
        arrived = yield arrive(target, token, some)
        missed += [id for (id, _), word in zip(some, arrived, strict=True) if word == "gone"]
    if missed:  # somebody took this move for given up before they left, or has brought it to its end
        again = yield from transfer(source, target, missed, ONLY_LEFT, token)
        became |= {id: MOVED if word in OVER else word for id, word in zip(missed, again, strict=True)}
    if arrived_ids := [id for id, _ in left if id not in missed]:
        yield conclude(source, token, arrived_ids)
    yield conclude(target, token, [id for id in coming if id not in missed] or coming)
    return list(became.values())


def _parts(left: list[tuple[str, Departed]]) -> Iterator[list[tuple[str, Departed]]]:
    """As many at a time as travel together."""
    some: list[tuple[str, Departed]] = []
    size = 0
    for id, task in left:
        some.append((id, task))
        size += len(task.message) + sum(map(len, task.records))
        if size >= AT_ONCE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


# -- what somebody else has begun ------------------------------------------------------------------------------------


def notes(prefix: str, place: str) -> bytes:
    """Asks for some of the moves that are not over, of tasks that are "LEAVING" or "ARRIVING"."""
    return encode("HRANDFIELD", keys.key(prefix, place), 50, "WITHVALUES")


def read_notes(reply: Reply) -> list[Note]:
    """What that answers."""
    return [_note(id, raw) for id, raw in zip(reply[::2], reply[1::2], strict=True)]


def _note(id: bytes, raw: bytes) -> Note:
    _, token, other, *_ = readable(raw[:200]).split(" ")
    return Note(readable(id), token, other)
