"""forget_done: what is kept of completed tasks for people who look is deleted; nothing else is."""

from __future__ import annotations

from distq.broker import completed
from distq.broker.broker import Broker
from tests.broker.test_listed import complete
from tests.support.room import Room


def test_it_deletes_what_is_kept_of_a_type_and_leaves_its_results(room: Room) -> None:
    broker = Broker(room.app, room.url, 5.0)
    ids = complete(room, room.register(), 3)
    assert room.run(completed.forget(room.prefix, "other")) == 0
    assert completed.types(broker, "default") == ["job"]
    assert room.run(completed.forget(room.prefix, "job")) == 3
    assert completed.types(broker, "default") == []
    assert completed.find(broker, "default", ids[0]) is None
    assert room.where(ids[0]) == "completed"
    assert room.run(completed.forget(room.prefix, "job")) == 0
    assert len(complete(room, room.register(), 1)) == 1
    assert completed.types(broker, "default") == ["job"], "what completes later is kept again"
