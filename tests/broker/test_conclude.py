"""conclude: (moves no task)."""

from __future__ import annotations

from distq.broker import transfer
from distq.broker.moves import Change
from tests.support.room import Room


def test_a_move_is_over_by_its_token_alone(room: Room) -> None:
    id = room.enqueue()
    room.run(transfer.expect(room.prefix, "t1", "other", ["a"]))
    room.run(transfer.depart(room.prefix, "t2", "other", Change(), [id]))
    assert room.run(transfer.conclude(room.prefix, "t3", [id, "a", "b"])) == 0
    assert room.run(transfer.conclude(room.prefix, "t2", [id, "a"])) == 1
    assert room.run(transfer.conclude(room.prefix, "t1", [id, "a"])) == 1
    assert not room.redis.exists(room.key("LEAVING"), room.key("ARRIVING"))
