"""depths: how many tasks are in each state."""

from __future__ import annotations

from distq.broker import verbs
from tests.support import states
from tests.support.room import Room


def test_one_of_each(room: Room) -> None:
    states.dead(room)
    states.completed_(room)
    states.held(room)
    states.scheduled(room)
    for priority in (0, 1, 1, 2, 2, 2):
        room.enqueue(priority=priority)
    depths = room.run(verbs.depths(room.prefix))
    assert depths == verbs.Depths(
        high=3, default=2, low=1, scheduled=1, running=1, dead=1, live=8, in_lanes=0, workers=3
    )  # fmt: skip


def test_ghosts_do_not_count_and_lanes_and_suspects_do(room: Room) -> None:
    room.cancel(room.enqueue())
    room.enqueue("mail", limit="1000000 1")
    _, worker = states.held(room)
    room.recover(worker, "lost")
    depths = room.run(verbs.depths(room.prefix))
    assert (depths.default, depths.in_lanes, depths.live) == (2, 1, 2)
