"""expect: (moves no task)."""

from __future__ import annotations

import pytest

from distq.broker import transfer
from tests.support import states
from tests.support.room import Room


@pytest.mark.parametrize("state", ["queued", "scheduled", "active"])
def test_an_id_that_is_alive_is_taken(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    assert room.run(transfer.expect(room.prefix, "t1", "other", [id, "free"])) == ["taken", "expected"]
    room.run(transfer.conclude(room.prefix, "t1", ["free"]))


def test_nobody_else_moves_what_is_on_its_way(room: Room) -> None:
    assert room.run(transfer.expect(room.prefix, "t1", "other", ["a"])) == ["expected"]
    assert room.run(transfer.expect(room.prefix, "t2", "third", ["a"])) == ["taken"]
    assert room.run(transfer.expect(room.prefix, "t1", "other", ["a"])) == ["expected"]
    assert (room.look("a").state, room.run(transfer.conclude(room.prefix, "t1", ["a"]))) == ("queued", 1)
    assert room.look("a").state == "unknown"
