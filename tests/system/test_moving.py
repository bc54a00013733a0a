"""Moves between queues that nobody brings to their end: whoever moved is dead."""

from __future__ import annotations

import pytest

from distq import Distq, message
from distq.broker import transfer
from distq.broker.moves import Change
from tests.support.apps.calling import add, app
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_host_ends_them(steps: int, room: Room, start: Start) -> None:
    """Behind each step the task is alive in one queue; and neither is left with a note."""
    app.rebind(room.url)
    other = Room(room.url, room.app, "elsewhere")
    id = other.enqueue("add", id=message.new_id("elsewhere"), body=Distq("x").codec.pack_call((1, 2), {}))
    room.redis.sadd("distq:queues", f"{room.app}/elsewhere")
    room.run(transfer.expect(room.prefix, "t1", "elsewhere", [id]))
    if steps > 1:
        [task] = room.run(transfer.depart(other.prefix, "t1", room.queue, Change(), [id]))
    if steps > 2:
        room.run(transfer.arrive(room.prefix, "t1", [(id, task)]))
    start("calling", "--lease", "1s")
    assert add.delay(1, 1).get(timeout=30) == 2
    gone = [(other, "LEAVING"), (room, "ARRIVING")]
    eventually(
        lambda: not any(each.redis.exists(each.key(name)) for each, name in gone), "the notes are gone", within=40
    )
    if steps > 1:
        assert app.result(id).get(timeout=30) == 3
    else:
        assert other.where(id) == "queued", "nobody has taken it away"
    other.close()
