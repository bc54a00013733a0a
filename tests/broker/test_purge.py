"""purge: queued | scheduled -> cancelled, many at once."""

from __future__ import annotations

import pytest

from distq.broker import verbs
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import LEVELS, Room


def purge(room: Room, level: str) -> int:
    return room.run(verbs.purge(room.prefix, level, "test"))


@arrow("queued", "cancelled", "purge")
def test_what_waits_at_one_priority_ends(room: Room) -> None:
    ids = [room.enqueue(priority=priority) for priority in (0, 1, 2)]
    assert purge(room, "default") == 1
    assert [room.where(id) for id in ids] == ["queued", "cancelled", "queued"]
    assert purge(room, "default") == 0


@arrow("scheduled", "cancelled", "purge")
def test_what_is_scheduled_ends(room: Room) -> None:
    id, ready = room.enqueue(delay=60_000), room.enqueue()
    assert room.where(id) == "scheduled"
    assert purge(room, "scheduled") == 1
    assert (room.where(id), room.where(ready)) == ("cancelled", "queued")


def test_lanes_and_suspects_are_waiting_tasks_too(room: Room) -> None:
    suspect, worker = states.held(room)
    room.recover(worker, "lost")
    limited = room.enqueue("mail", limit="1000000 1")
    taken = [purge(room, "default") for _ in range(3)]
    assert sorted(taken) == [0, 1, 1]
    assert [room.where(id) for id in (suspect, limited)] == ["cancelled", "cancelled"]


def test_at_most_five_hundred_a_call(room: Room) -> None:
    for _ in range(501):
        room.enqueue()
    assert [purge(room, "default") for _ in range(3)] == [500, 1, 0]


def test_ghosts_go_with_it(room: Room) -> None:
    room.cancel(room.enqueue())
    purge(room, "default")
    assert not room.redis.exists(room.key("GHOSTS", "default"))


@pytest.mark.parametrize("state", states.all_but("queued", "scheduled"))
def test_anything_else_stays_as_it_is(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    for level in (*LEVELS, "scheduled"):
        purge(room, level)
    assert room.where(id) == state
