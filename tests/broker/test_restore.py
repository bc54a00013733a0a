"""restore and entries: what somebody's deleting of keys left alive but in no list waits again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from distq.broker import verbs
from distq.broker.ledger import placed
from distq.broker.scripts import script
from distq.supervisor.audit import search
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room


def restore(room: Room, *entries: str) -> int:
    return room.run(verbs.restore(room.prefix, [entry.encode() for entry in entries]))


def lose(room: Room, **options: Any) -> str:
    """A task whose list was deleted."""
    id = room.enqueue(**options)
    room.redis.delete(*[name for name, entries in room.lists().items() if id in entries], room.key("WAKE"))
    return id


@arrow("lost", "queued", "restore")
@pytest.mark.parametrize(("priority", "level"), [(2, "high"), (1, "default"), (0, "low")])
def test_it_waits_again_at_its_priority(room: Room, priority: int, level: str) -> None:
    id = lose(room, priority=priority)
    assert restore(room, id) == 1
    assert room.lists()[room.key("QUEUE", level)] == [id]


def test_a_limited_one_waits_in_its_lane(room: Room) -> None:
    id = lose(room, type="mail", limit="1000000 1")
    assert restore(room, id) == 1
    assert room.lists()[room.key("LANE", "default:mail")] == [id]


def test_one_whose_worker_vanished_without_a_trace(room: Room) -> None:
    id, worker = states.held(room)
    room.redis.delete(room.key("PROCESSING", worker.name))
    assert restore(room, id) == 1
    assert room.where(id) == "queued"


@arrow("lost", "dead", "restore")
def test_what_must_not_be_started_twice_may_have_been(room: Room) -> None:
    room.wire.run_script(script("enqueue"), room.enqueue_many_bytes(["once"], most=1, token="t"))
    room.redis.delete(room.key("QUEUE", "default"))
    assert restore(room, "once") == 1
    assert room.where("once") == "dead"
    assert room.result("once")[1]["message"].startswith("may have run")


@pytest.mark.parametrize("state", states.all_but())
def test_what_is_in_its_place_stays_there(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert restore(room, id, "default.ffffffffffffffffffff") == 0
    assert room.snapshot() == before


def test_a_later_life_of_an_id_is_found_again_by_its_id(room: Room) -> None:
    room.enqueue(id="mine", token="1")
    room.cancel("mine")
    room.enqueue(id="mine", token="2")
    entry = room.entry_of("mine")
    assert entry != "mine"
    room.redis.delete(room.key("QUEUE", "default"), room.key("GENERATIONS"), room.key("GHOSTS", "default"))
    assert restore(room, entry) == 1
    assert room.entry_of("mine") == entry
    assert room.where("mine") == "queued"


def run(room: Room) -> int:
    """The whole search, as the supervisor runs it."""
    steps, reply = search(room.prefix), None
    while True:
        try:
            command = steps.send(reply)
        except StopIteration as end:
            return int(end.value)
        reply = room.run(command) if isinstance(command, verbs.Command) else room.wire.request(command)


def evict_queue(room: Room) -> None:
    room.redis.delete(room.key("QUEUE", "default"), room.key("WAKE"))


def evict_delayed(room: Room) -> None:
    room.redis.delete(room.key("DELAYED"))


@pytest.mark.parametrize("evict", [evict_queue, evict_delayed])
def test_a_search_puts_back_all_that_is_in_no_list_and_nothing_else(room: Room, evict: Callable[[Room], None]) -> None:
    waiting = [room.enqueue() for _ in range(1200)]
    later = [room.enqueue(delay=3_600_000) for _ in range(30)]
    urgent = [room.enqueue(priority=2) for _ in range(3)]
    room.step(room.register(), 2)
    evict(room)
    lost = room.redis.hlen(room.key("TASKS")) - placed(room.run(verbs.depths(room.prefix)))
    assert lost > 0
    assert run(room) == lost
    assert placed(room.run(verbs.depths(room.prefix))) == room.redis.hlen(room.key("TASKS")) == 1233
    assert {room.where(id) for id in waiting} == {"queued"}
    assert {room.where(id) for id in later} == {"queued" if evict is evict_delayed else "scheduled"}
    assert {room.where(id) for id in urgent} == {"active", "queued"}
    assert run(room) == 0
