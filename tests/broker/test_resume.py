"""resume: what was paused goes on; what was not is left alone."""

from __future__ import annotations

from tests.broker.test_flow import TYPES, entries, flow, make
from tests.support.room import Room
from tests.support.switch import pause, resume


def test_what_was_not_paused_is_left_alone(room: Room) -> None:
    id = room.enqueue()
    before = room.snapshot()
    assert [resume(room), resume(room, "job"), resume(room, "job", "a")] == ["running"] * 3
    assert room.snapshot() == before
    assert entries(room.step(room.register())) == [id]


def test_only_what_is_resumed_goes_on(room: Room) -> None:
    """A key stays paused when its type is resumed."""
    a, b = make(room, 1, "a", flow=flow(mk=5)), make(room, 1, "b", flow=flow(mk=5))
    worker = room.register(TYPES, flows={"job": {"mk": 5}})
    pause(room, "job")
    pause(room, "job", "a")
    assert entries(room.step(worker)) == []
    resume(room, "job")
    assert entries(room.step(worker)) == b
    assert entries(room.step(worker)) == []
    resume(room, "job", "a")
    assert entries(room.step(worker)) == a


def test_a_woken_worker_takes_what_was_paused(room: Room) -> None:
    worker = room.register()
    pause(room, "job")
    room.enqueue()
    assert not room.redis.exists(room.key("WAKE_GROUP", worker.digest))
    resume(room, "job")
    assert room.redis.exists(room.key("WAKE_GROUP", worker.digest)), "its lane is a plain one until it is empty"


def test_a_paused_queue_with_a_paused_type_hands_out_neither(room: Room) -> None:
    first, other = room.enqueue(), room.enqueue("other")
    worker = room.register(["job", "other"])
    pause(room)
    pause(room, "job")
    resume(room)
    assert entries(room.step(worker)) == [other]
    resume(room, "job")
    assert entries(room.step(worker)) == [first]
