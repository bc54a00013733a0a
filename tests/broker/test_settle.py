"""settle: the same verdicts, sent by a supervisor for its busy child."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from distq.broker import verbs
from distq.broker.verdicts import Verdicts
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, Worker, buried, completed, released, retried


def settle(
    room: Room, worker: Worker, number: int, *verdicts: bytes, flying: int = 0, kept: Sequence[str] = ()
) -> tuple[str, int]:
    given = Verdicts(len(verdicts), b"".join(verdicts))
    entries = [entry.encode() for entry in kept]
    settled = room.run(verbs.settle(room.prefix, worker.name, number, given, flying, entries))
    assert settled.step == (worker.number if settled.word == "ok" else 0)
    return settled[:2]


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


def test_what_a_step_has_brought_that_its_child_does_not_read_goes_back_and_what_runs_stays(room: Room) -> None:
    finished, running, waiting, unread = [room.enqueue() for _ in range(4)]
    worker = room.register()
    room.step(worker, 3)
    command = room.step_command(worker, 2, 1, [completed(finished)])
    room.run(command)
    worker.number = 2
    settle(room, worker, 1, flying=2, kept=[running, finished])
    assert [room.where(id) for id in (finished, running, waiting, unread)] == [
        "completed", "active", "queued", "queued",
    ]  # fmt: skip
    assert room.step(room.register(), 2).entries == [waiting.encode(), unread.encode()], "in front, in their order"
    assert room.run(command).entries == [], "sent again, it brings nothing: not what others hold now"


def test_what_a_later_step_has_brought_is_not_given_back(room: Room) -> None:
    """The child has gone on before the supervisor's call arrived."""
    running, later = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker, 1)
    room.step(worker, 1)
    settle(room, worker, 1, flying=1, kept=[running])
    assert room.where(later) == "active"


def test_a_step_that_arrives_afterwards_settles_what_it_carries(room: Room) -> None:
    finished, running, waiting = [room.enqueue() for _ in range(3)]
    worker = room.register()
    room.step(worker, 3)
    settle(room, worker, 1, flying=2, kept=[running, finished])
    room.hold(room.register(), waiting)
    new = room.enqueue()
    step = room.step(worker, 1, [completed(finished)])
    assert (step.late, step.entries) == (0, [new.encode()])
    assert [room.where(id) for id in (finished, running)] == ["completed", "active"]


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
