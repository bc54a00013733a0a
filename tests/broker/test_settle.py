"""settle: the same verdicts, sent by a supervisor for its busy child."""

from __future__ import annotations

import pytest

from distq.broker import verbs
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, Worker, buried, completed, released, retried


def settle(room: Room, worker: Worker, number: int, *verdicts: bytes) -> tuple[str, int]:
    return room.run(verbs.settle(room.prefix, worker.name, number, verbs.Verdicts(len(verdicts), b"".join(verdicts))))


@arrow("active", "completed", "settle")
@arrow("active", "queued", "settle")
def test_what_is_finished_is_visible_and_what_is_not_started_goes_back(room: Room) -> None:
    done, running, waiting = room.enqueue(), room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker, 3)
    assert settle(room, worker, 1, completed(done), *released([waiting])) == ("ok", 0)
    assert [room.where(id) for id in (done, running, waiting)] == ["completed", "active", "queued"]


@arrow("active", "scheduled", "settle")
def test_retry(room: Room) -> None:
    id, worker = states.held(room)
    settle(room, worker, 1, retried(id))
    assert room.where(id) == "scheduled"


@arrow("active", "dead", "settle")
def test_bury(room: Room) -> None:
    id, worker = states.held(room)
    settle(room, worker, 1, buried(id))
    assert room.where(id) == "dead"


def test_sent_again_it_changes_nothing(room: Room) -> None:
    id, worker = states.held(room)
    settle(room, worker, 7, retried(id, 0))
    room.hold(worker, id)
    before = room.snapshot()
    assert settle(room, worker, 7, retried(id, 0)) == ("stale", 0)
    assert room.snapshot() == before
    assert room.head(id).attempt == 1


def test_a_worker_that_is_gone_settles_nothing(room: Room) -> None:
    id, worker = states.held(room)
    room.recover(worker, "left")
    before = room.snapshot()
    assert settle(room, worker, 1, completed(id)) == ("gone", 0)
    assert room.snapshot() == before


@pytest.mark.parametrize("state", states.all_but())
def test_what_the_worker_does_not_hold_stays_as_it_is(room: Room, state: str) -> None:
    id, stranger = states.MAKE[state](room), room.register()
    assert settle(room, stranger, 1, completed(id)) == ("ok", 1)
    assert room.where(id) == state
