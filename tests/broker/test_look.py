"""look: what is known of one task, together; it changes nothing."""

from __future__ import annotations

import pytest

from tests.support import states
from tests.support.room import Room

SAID = {
    "none": "unknown", "queued": "queued", "scheduled": "scheduled", "active": "running", "completed": "ended",
    "dead": "ended", "cancelled": "ended", "expired": "ended",
}  # fmt: skip


@pytest.mark.parametrize(("state", "said"), SAID.items())
def test_each_state(room: Room, state: str, said: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    look = room.look(id)
    assert look.state == said
    assert (look.result is not None) == (said == "ended")
    assert (look.due_ms > 0) == (said == "scheduled")
    assert room.snapshot() == before


def test_who_runs_it(room: Room) -> None:
    id, worker = states.held(room)
    assert room.look(id).worker == worker.name


def test_a_dead_one_is_dead_also_when_its_result_is_over(room: Room) -> None:
    id = states.dead(room)
    room.forget_result(id)
    assert room.look(id).state == "dead"
