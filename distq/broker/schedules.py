"""Schedules in the broker: their verbs, and what is kept of each. When they tick is in `distq.cron`.

A schedule lives in the first partition of its queue, in the slot in which its tasks are enqueued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import msgpack

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import Reply, digest, encode, script
from distq.broker.verbs import Command

PAUSED, EDITED = "paused", "edited"


@dataclass(frozen=True)
class Definition:
    """What a schedule is, apart from its name: the fields that code, or whoever creates it, decides on."""

    when: str
    tz: str
    jitter: int
    """Milliseconds."""
    overlap: str
    missed: str
    type: str
    options: bytes
    """Of `enqueue`, in its form; no `delay` or `due`, no `token`."""
    message: bytes
    """As a producer sends it, without its last eight bytes: those of the tick, a float."""

    def items(self) -> list[str | bytes | int]:
        """Field and value by turns."""
        return [item for pair in asdict(self).items() for item in pair]

    def packed(self) -> bytes:
        """All together."""
        return bytes(msgpack.packb(list(asdict(self).values()), use_bin_type=True))

    @classmethod
    def unpacked(cls, raw: bytes) -> Definition:
        """What `packed` gave. Raises ValueError."""
        try:
            return cls.checked(msgpack.unpackb(raw))
        except Exception as error:
            raise ValueError(f"no definition of a schedule: {error}") from None

    @classmethod
    def checked(cls, values: Sequence[Any]) -> Definition:
        """From values in the order of the fields."""
        found = cls(*values)
        kinds = {"int": int, "str": str, "bytes": bytes}
        for field in fields(cls):
            if not isinstance(getattr(found, field.name), kinds[str(field.type)]):
                raise TypeError(f"{field.name} is of another type")
        return found

    @property
    def mark(self) -> str:
        """By which a change is recognized."""
        return digest(self.packed().hex())[:16]


class Record(NamedTuple):
    """A schedule as it is in the broker."""

    name: str
    queue: str
    definition: Definition
    edition: str
    next_ms: int
    """Its next tick; of one that is paused the one that it would have had."""
    is_coded: bool
    is_paused: bool
    is_edited: bool
    is_orphaned: bool
    """The code of no living host declares it any more: it rests, and is retired soon."""
    last: str
    """Id of the task of its last tick."""
    code: Definition | None
    """What the code says."""


class Fired(NamedTuple):
    """A tick that has been."""

    tick_ms: int
    at_ms: int
    word: str
    """fired, skipped, replaced (it ended the task before), missed, or by hand: triggered."""
    id: str


class Fire(NamedTuple):
    """Ticks of a schedule that are due, and the one after them."""

    name: str
    tick_ms: int
    """The one that is expected to be next; 0: by hand."""
    edition: str
    next_ms: int
    tasks: Sequence[tuple[str, int, int]]
    """Id, tick, and when the task becomes ready (0: at once)."""


class Firing(NamedTuple):
    """What became of them."""

    now_ms: int
    next_ms: int | None
    """The next future time of the queue; None: nothing comes."""
    words: list[str]


class Declared(NamedTuple):
    """What came of saying what the code declares."""

    now_ms: int
    must_name: bool
    """The broker does not know the set any more."""
    wanted: list[str]
    """They are to be defined."""
    retired: list[str]
    coded: int
    """How many schedules some code declares."""


def tick_id(queue: str, name: str, turn: str, tick_ms: int) -> str:
    """The id of the task of a tick: always the same, so that no tick is two tasks."""
    return f"{queue}.{digest(f'{name} {turn} {tick_ms}')[:20]}"


def new_turn() -> str:
    """What tells the ticks of one life of a schedule from those of another, and of a clock that was set back."""
    return os.urandom(6).hex()


# -- verbs ----------------------------------------------------------------------------------------------------------


def define(
    prefix: str, name: str, how: str, tick_ms: int | None, items: Sequence[str | bytes | int]
) -> Command[tuple[str, str]]:
    """Writes a schedule: `how` is "new", "code", or the edition that is changed. A word, and the new edition."""
    verb = script("define")
    command = verb.command(prefix.encode(), name, how, "" if tick_ms is None else tick_ms, *items)
    return Command(verb, command, lambda reply: (_text(reply[0]), _text(reply[1])))


def code_items(definition: Definition) -> list[str | bytes | int]:
    """What `define` gets for a schedule that the code declares; its turn counts only if it is new."""
    return [*definition.items(), "code", definition.packed(), "mark", definition.mark]


def forget(prefix: str, name: str) -> Command[str]:
    """Deletes a schedule: "ok", "declared" or "unknown"."""
    verb = script("forget")
    return Command(verb, verb.command(prefix.encode(), name), _text)


def fire(prefix: str, host: str, fires: Sequence[Fire]) -> Command[Firing]:
    """Advances schedules and enqueues their tasks."""
    verb = script("fire")
    packed = [msgpack.packb([*fire[:4], *(item for task in fire.tasks for item in task)]) for fire in fires]
    return Command(verb, verb.command(prefix.encode(), host, *packed), _parse_firing)


def _parse_firing(reply: Reply) -> Firing:
    now_ms, next_ms, *words = reply
    return Firing(now_ms, None if next_ms < 0 else next_ms, list(map(_text, words)))


def declare(
    prefix: str, host: str, hold_ms: int, patience_ms: int, digest: str, marks: Mapping[str, str]
) -> Command[Declared]:
    """Says what the code of this host declares. `marks`: name -> mark, or none, if that was said before."""
    verb = script("declare")
    items = [item for pair in marks.items() for item in pair]
    command = verb.command(prefix.encode(), host, hold_ms, patience_ms, digest, *items)
    return Command(verb, command, _parse_declared)


def _parse_declared(reply: Reply) -> Declared:
    now_ms, word, wanted, retired, coded = reply
    return Declared(now_ms, word == b"again", list(map(_text, wanted)), list(map(_text, retired)), coded)


def page(prefix: str, cursor: str) -> Command[tuple[str, int, list[Record]]]:
    """A page of all schedules: the next cursor ("0": that was the last), now, records. One may come twice."""
    verb = script("schedules")
    return Command(verb, verb.command(prefix.encode(), "page", cursor), lambda reply: _parse_page(prefix, reply))


def one(prefix: str, name: str) -> Command[tuple[str, int, list[Record]]]:
    """The same for one schedule."""
    verb = script("schedules")
    return Command(verb, verb.command(prefix.encode(), "name", name), lambda reply: _parse_page(prefix, reply))


def _parse_page(prefix: str, reply: Reply) -> tuple[str, int, list[Record]]:
    now_ms, cursor, *found = reply
    records = []
    for name, state, values in zip(found[::3], found[1::3], found[2::3], strict=True):
        record = _record(keys.queue_of(prefix), _text(name), state == b"orphaned", values)
        if record is not None:
            records.append(record)
    return _text(cursor), now_ms, records


def _record(queue: str, name: str, is_orphaned: bool, values: list[bytes]) -> Record | None:
    """None for what somebody else has written there."""
    raw = dict(zip(values[::2], values[1::2], strict=True))

    def text(field: str) -> str:
        return _text(raw.get(field.encode(), b""))

    try:
        jitter = int(text("jitter") or 0)
        definition = Definition(
            text("when"), text("tz"), jitter, text("overlap"), text("missed"), text("type"),
            raw.get(b"options", b""), raw[b"message"],
        )  # fmt: skip
        code = Definition.unpacked(raw[b"code"]) if raw.get(b"code") else None
        next_ms = int(text("tick") or 0)
    except (KeyError, ValueError):
        return None
    return Record(
        name, queue, definition, text("edition"), next_ms, code is not None, bool(text(PAUSED)), bool(text(EDITED)),
        is_orphaned, text("last"), code,
    )  # fmt: skip


# -- for people -----------------------------------------------------------------------------------------------------


def every(broker: Broker, queue: str) -> Iterator[tuple[int, Record]]:
    """All schedules of a queue, each with the broker's time."""
    seen: set[str] = set()
    cursor = ""
    while cursor != "0":
        cursor, now_ms, records = broker.run(page(broker.prefix(queue), cursor or "0"))
        for record in records:
            if record.name not in seen:
                seen.add(record.name)
                yield now_ms, record


def history(broker: Broker, queue: str, name: str) -> list[Fired]:
    """The last ticks, the newest first."""
    place = keys.key(broker.prefix(queue), "FIRED", name)
    found = []
    for raw in broker.exchange.request(encode("LRANGE", place, 0, -1)):
        try:
            tick_ms, at_ms, word, id = msgpack.unpackb(raw)
            found.append(Fired(int(tick_ms), int(at_ms), str(word), str(id)))
        except Exception:  # noqa: S112 (somebody else's)
            continue
    return found


def _text(raw: bytes) -> str:
    return str(raw, "utf-8", "replace")
