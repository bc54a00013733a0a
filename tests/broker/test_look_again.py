"""look_again: blocked keys may have their turn again, whatever they waited for."""

from __future__ import annotations

from tests.broker.test_flow import TYPES, entries, flow, make
from tests.support.room import Room
from tests.support.switch import look_again


def test_what_may_still_not_run_is_blocked_again(room: Room) -> None:
    make(room, 2, "a", flow=flow(mk=1))
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    room.step(worker)
    assert entries(room.step(worker)) == []
    before = room.snapshot()
    look_again(room, "default", "v2/job")
    assert room.snapshot() == before, "mark() has blocked it again"


def test_where_nothing_waits_nothing_happens(room: Room) -> None:
    before = room.snapshot()
    look_again(room, "default", "v2/job")
    assert room.snapshot() == before
