"""Reading what a queue holds, page by page: where tasks wait, run, or have ended. It moves nothing.

A place is one list or sorted set of a queue. Positions in it move while workers work, so a page may show a task twice,
or miss one that has just moved: this is for people who look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from distq.broker import completed, keys, verbs
from distq.broker.broker import Broker
from distq.broker.causes import Cause, last_causes
from distq.broker.inspect import whole
from distq.broker.scripts import Reply, encode, readable
from distq.message import Message, parse

STATES = ("running", "queued", "scheduled", "dead", "completed")
"""States in which tasks are found, in the order in which they are shown."""
_SORTED = ("DELAYED", "DEAD_LETTERS")


class Place(NamedTuple):
    """Where tasks of one state are. They are shown in the order of these values."""

    state: int
    """Its number in STATES."""
    level: int
    """0 for high, 1 for default, 2 for low; of completed ones 0 for those of types with a history, 1 for others."""
    name: str
    """Of the key."""
    suffix: str


@dataclass(frozen=True)
class Found:
    """One task in a place."""

    id: str
    state: str
    message: Message | None
    """None: it is completed, and of a type without a history; or nobody can read it."""
    type: str = ""
    """Where there is no message."""
    at_ms: int | None = None
    """When it is due, has died or was completed."""
    worker: str = ""
    cause: Cause | None = None
    """None: it was not asked for."""
    ran_s: float | None = None
    """How long the last attempt of a completed one took."""


def places(broker: Broker, queue: str, states: Iterable[str]) -> list[Place]:
    """Where tasks of these states can be, in order."""
    prefix, wanted = broker.prefix(queue), {STATES.index(state) for state in states}
    found = []
    if 0 in wanted:
        found.append(Place(0, 0, "PROCESSING", ""))
    if 1 in wanted:
        for level, name in enumerate(reversed(keys.PRIORITIES)):
            found += [Place(1, level, "QUEUE", name), Place(1, level, "SUSPECTS", name)]
            lanes = broker.exchange.request(encode("SMEMBERS", keys.key(prefix, "LANES_AT", name)))
            found += [Place(1, level, "LANE", f"{name}:{lane.decode('utf-8', 'surrogateescape')}") for lane in lanes]
    found += [Place(number, 0, name, "") for number, name in ((2, "DELAYED"), (3, "DEAD_LETTERS")) if number in wanted]
    if 4 in wanted:
        found += [Place(4, 0, "DONE_AT", type) for type in completed.types(broker, queue)]
        found.append(Place(4, 1, "COMPLETED", ""))
    return sorted(found)


def page(
    broker: Broker, queue: str, place: Place, start: int, count: int, with_causes: bool = False
) -> tuple[int, list[tuple[int, Found]]]:
    """How many entries of a place were read from a position on, fewer than `count` only at its end; and their tasks,
    each with its offset. `with_causes`: and their last errors."""
    if place.name == "DONE_AT":
        return _listed(broker, queue, place.suffix, start, count)
    if place.name == "COMPLETED":
        some = completed.last(broker, queue)[start : start + count]
        return len(some), [
            (offset, Found(one.id, "completed", None, one.type, one.finished_ms or None, one.worker))
            for offset, one in enumerate(some)
        ]
    rows = _rows(broker, queue, place, start, count)
    if not rows:
        return 0, []
    state, prefix = STATES[place.state], broker.prefix(queue)
    hash = keys.key(prefix, "DEAD" if place.name == "DEAD_LETTERS" else "TASKS")
    raws = broker.exchange.request(encode("HMGET", hash, *(entry for entry, _, _ in rows)))
    ids = [keys.id_of(readable(entry)) for entry, _, _ in rows]
    causes: list[Cause | None] = [*last_causes(broker, queue, ids)] if with_causes else [None] * len(ids)
    return len(rows), [
        (offset, Found(id, state, _message(raw), "", at, worker, cause))
        for offset, (id, (_, at, worker), raw, cause) in enumerate(zip(ids, rows, raws, causes, strict=True))
        if raw is not None  # else it has just left, or is the ghost of one that was cancelled
    ]


def _listed(broker: Broker, queue: str, type: str, start: int, count: int) -> tuple[int, list[tuple[int, Found]]]:
    """Completed tasks of a type with a history."""
    rows = completed.page(broker, queue, type, start, count)
    return len(rows), [
        (offset, Found(id, "completed", kept.message, "", kept.finished_ms, kept.worker, ran_s=kept.seconds))
        for offset, (id, kept) in enumerate(rows)
        if kept is not None
    ]


def _rows(broker: Broker, queue: str, place: Place, start: int, count: int) -> Sequence[tuple[bytes, int | None, str]]:
    """Entry, time, worker."""
    prefix = broker.prefix(queue)
    key, end = keys.key(prefix, place.name, place.suffix), start + count - 1
    ask = broker.exchange.request
    if place.name == "PROCESSING":
        workers = broker.run(verbs.workers(prefix))
        held = [(entry.encode(), None, worker.name) for worker in workers for entry in worker.holds]
        return held[start : start + count]
    if place.name in _SORTED:
        command = "ZREVRANGE" if place.name == "DEAD_LETTERS" else "ZRANGE"
        pairs: list[Reply] = ask(encode(command, key, start, end, "WITHSCORES"))
        return [(id, whole(float(ms)), "") for id, ms in zip(pairs[::2], pairs[1::2], strict=True)]
    return [(entry, None, "") for entry in ask(encode("LRANGE", key, start, end))]


def _message(raw: bytes) -> Message | None:
    try:
        return parse(raw)
    except ValueError:
        return None
