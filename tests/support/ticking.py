"""Schedules of a room, moved verb by verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

from distq import message
from distq.broker import schedules, verbs
from distq.broker.schedules import Declared, Definition, Fire, Firing, Record
from distq.codec import Codec
from distq.cron import timing
from distq.periodic import without_tick
from tests.support.room import Room

HOLD_MS, RETIRE_MS = 45_000, 60_000


def definition(when: str = "@every 1h", *, type: str = "job", overlap: str = "queue", **more: Any) -> Definition:
    """`more`: other fields, what the message says of its flow (`told`), and what `enqueue` gets as options."""
    fields = {field: more.pop(field, other) for field, other in (("tz", ""), ("jitter", 0), ("missed", "once"))}
    body = Codec().pack_call((), {}, {"schedule": "it", "tick": 0.0})
    flow = msgpack.packb(more.pop("told")) if "told" in more else None
    data = without_tick(message.head(type, more.pop("priority", 1), 600, 0, flow) + body)
    return Definition(
        when=when, overlap=overlap, type=type, options=verbs.enqueue_options(more), message=data, **fields
    )


def create(room: Room, name: str = "it", **fields: Any) -> Record:
    """A schedule that was created at run time."""
    made = definition(**fields)
    assert define(room, name, "new", made) == "ok"
    return find(room, name)


def define(room: Room, name: str, how: str, made: Definition) -> str:
    """The word of the script."""
    items = schedules.code_items(made) if how == "code" else made.items()
    first = timing(made.when, made.tz).next(room.now_ms())
    return room.run(schedules.define(room.prefix, name, how, first, [*items, "turn", schedules.new_turn()]))[0]


def change(room: Room, name: str, *items: str | bytes | int, tick: int | None = None) -> str:
    return room.run(schedules.define(room.prefix, name, find(room, name).edition, tick, items))[0]


def find(room: Room, name: str = "it") -> Record:
    [record] = room.run(schedules.one(room.prefix, name))[2]
    return record


def come(room: Room, name: str = "it") -> Record:
    """Lets time pass until its tick has come."""
    room.pass_time(find(room, name).next_ms - room.now_ms() + 5)
    return find(room, name)


def fire(room: Room, *fires: Fire, host: str = "host") -> Firing:
    return room.run(schedules.fire(room.prefix, host, fires))


def due(record: Record, *ids: str, jitter: int = 0, next_ms: int | None = None) -> Fire:
    """The tick of this record, with tasks of these ids."""
    following = timing(record.definition.when, record.definition.tz).next(record.next_ms)
    tasks = [(id, record.next_ms, record.next_ms + jitter if jitter else 0) for id in ids]
    return Fire(record.name, record.next_ms, record.edition, next_ms or following, tasks)


def tick(room: Room, name: str = "it") -> str:
    """Its next tick comes, and is fired; the id of the task."""
    record, id = come(room, name), message.new_id(room.queue)
    assert fire(room, due(record, id)).words == ["fired"]
    return id


def declare(room: Room, host: str, marks: Mapping[str, str] | None, digest: str = "one") -> Declared:
    """`marks`: None for a renewal."""
    return room.run(schedules.declare(room.prefix, host, HOLD_MS, RETIRE_MS, digest, marks or {}))


def words(room: Room, name: str = "it") -> list[str]:
    """What became of its ticks, the newest first."""
    import msgpack

    return [msgpack.unpackb(raw)[2] for raw in room.redis.lrange(room.key("FIRED", name), 0, -1)]
