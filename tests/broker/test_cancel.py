"""cancel: queued | scheduled -> cancelled."""

from __future__ import annotations

import pytest

from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room


@arrow("queued", "cancelled", "cancel")
@arrow("scheduled", "cancelled", "cancel")
@pytest.mark.parametrize("state", ["queued", "scheduled"])
def test_a_waiting_task_ends(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    assert room.where(id) == state
    assert room.cancel(id) == "cancelled"
    assert room.where(id) == "cancelled"
    assert room.result(id)[1]["by"] == "test"


def test_it_is_never_started(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    room.cancel(id)
    assert room.step(worker).entries == []


@pytest.mark.parametrize(
    ("state", "word"),
    [("none", "unknown"), ("active", "running"), ("completed", "ended"), ("dead", "ended"), ("cancelled", "ended"),
     ("expired", "ended")],
)  # fmt: skip
def test_anything_else_stays_as_it_is(room: Room, state: str, word: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert room.cancel(id) == word
    assert room.snapshot() == before


def test_a_retry_that_waits_can_be_cancelled_and_keeps_its_attempts(room: Room) -> None:
    id, worker = states.held(room)
    from tests.support.room import retried

    room.step(worker, 0, [retried(id, 60_000)])
    assert room.cancel(id) == "cancelled"
    assert len(room.attempts(id)) == 1


def test_a_limited_task_and_a_second_life_can_be_cancelled(room: Room) -> None:
    room.register(["mail"], {"mail": "1000000 1"})
    room.enqueue("mail", id="a", token="1", limit="1000000 1")
    assert room.cancel("a") == "cancelled"
    room.enqueue("mail", id="a", token="2", limit="1000000 1")
    assert room.cancel("a") == "cancelled"
    assert room.where("a") == "cancelled"
