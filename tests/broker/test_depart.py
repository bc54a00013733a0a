"""depart: queued | scheduled -> moved."""

from __future__ import annotations

import pytest

from distq.broker import memory, transfer, verbs
from distq.broker.moves import Change
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, retried


def leave(room: Room, id: str, token: str = "t1") -> transfer.Departed:
    [task] = room.run(transfer.depart(room.prefix, token, "other", Change(), [id]))
    return task


@arrow("queued", "moved", "depart")
@arrow("scheduled", "moved", "depart")
@pytest.mark.parametrize("state", ["queued", "scheduled"])
def test_what_waits_leaves_and_its_message_stays_until_it_has_arrived(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    raw = room.redis.hget(room.key("TASKS"), id)
    task = leave(room, id)
    assert (task.word, task.message, task.due_ms > 0) == ("moved", raw, state == "scheduled")
    assert room.where(id) == "moved"
    assert leave(room, id) == task
    assert leave(room, id, "t2").word == "ended"
    assert room.step(room.register()).entries == []
    assert room.run(transfer.conclude(room.prefix, "t1", [id])) == 1


@pytest.mark.parametrize(("state", "word"), states.NOT_WAITING)
def test_anything_else_stays_as_it_is(room: Room, state: str, word: str) -> None:
    id = states.MAKE[state](room)
    lists = room.lists()
    assert leave(room, id).word == word
    assert room.lists() == lists


def test_what_remembers_stays(room: Room) -> None:
    id, worker = states.held(room)
    room.run(memory.checkpoint(room.prefix, worker.name, id.encode(), {b"step:a": b"1"}))
    room.step(worker, 0, [retried(id, 60_000)])
    assert leave(room, id).word == "remembers"


def test_who_waits_for_it_is_woken(room: Room) -> None:
    id = room.enqueue()
    room.run(verbs.look(room.prefix, id, waits=True))
    leave(room, id)
    assert room.redis.llen(room.key("ANSWER", id)) == 1
    room.run(transfer.conclude(room.prefix, "t1", [id]))
