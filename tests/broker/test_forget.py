"""forget: deletes a schedule, but not what code would bring back."""

from __future__ import annotations

from distq.broker import schedules
from tests.support import ticking
from tests.support.room import Room


def test_nothing_is_left_of_it(room: Room) -> None:
    ticking.create(room)
    ticking.tick(room)
    assert room.run(schedules.forget(room.prefix, "it")) == "ok"
    left = {room.key(name) for name in ("SCHEDULES", "FIRES", "SCHEDULE", "FIRED")}
    assert not [name for name in room.all_keys() if any(name.startswith(one) for one in left)]
    assert room.run(schedules.forget(room.prefix, "it")) == "unknown"


def test_one_that_a_living_host_declares_stays(room: Room) -> None:
    ticking.declare(room, "host", {"it": ""})
    ticking.define(room, "it", "code", ticking.definition())
    assert room.run(schedules.forget(room.prefix, "it")) == "declared"
    ticking.declare(room, "host", None, "")
    assert room.run(schedules.forget(room.prefix, "it")) == "ok"
