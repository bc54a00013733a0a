"""workers: who is registered."""

from __future__ import annotations

from distq.broker import verbs
from tests.support import states
from tests.support.room import Room


def test_each_worker_with_what_it_holds(room: Room) -> None:
    id, busy = states.held(room)
    idle = room.register(host="second")
    present = {worker.name: worker for worker in room.run(verbs.workers(room.prefix))}
    assert set(present) == {busy.name, idle.name}
    assert present[busy.name].holds == [id]
    assert (present[idle.name].holds, present[idle.name].host, present[idle.name].info) == ([], "second", "{}")
    assert 14_000 < present[busy.name].lease_left_ms <= 15_000


def test_nobody(room: Room) -> None:
    assert room.run(verbs.workers(room.prefix)) == []
