"""cancel: queued | scheduled -> cancelled, and later what runs."""

from __future__ import annotations

from typing import Literal

import msgpack
import pytest

from distq.broker import verbs
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, Worker, completed, verdict


@arrow("queued", "cancelled", "cancel")
@arrow("scheduled", "cancelled", "cancel")
@pytest.mark.parametrize("state", ["queued", "scheduled"])
def test_a_waiting_task_ends(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    assert room.where(id) == state
    assert room.cancel(id) == "cancelled"
    assert room.where(id) == "cancelled"
    assert room.result(id)[1]["by"] == "test"


def ordered(room: Room, how: Literal["running", "kill"] = "running") -> tuple[str, Worker]:
    """A task that runs, and is to end although it does; its worker."""
    id, worker = room.enqueue(), room.register()
    room.hold(worker, id)
    assert room.run(verbs.cancel(room.prefix, id, "test", how)) == "ordered"
    return id, worker


@pytest.mark.parametrize("how", ["running", "kill"])
def test_the_supervisor_of_a_running_one_is_told_once(room: Room, how: Literal["running", "kill"]) -> None:
    id, worker = ordered(room, how)
    assert room.where(id) == "active"
    assert room.run(verbs.cancel(room.prefix, id, "test", how)) == "ordered", "once more changes nothing"
    orders = room.redis.zrange(room.key("CONTROL", "host"), 0, -1)
    assert orders == [f"cancel {how} {worker.name} {id}".encode()]


@arrow("active", "cancelled", "step")
@pytest.mark.parametrize("word", ["release", "retry", "snooze", "park"])
def test_it_does_not_wait_again(room: Room, word: str) -> None:
    id, worker = ordered(room)
    room.step(worker, 0, [verdict(id, word, number=10)])
    assert room.where(id) == "cancelled"
    assert room.result(id)[1]["by"] == "test"


@arrow("active", "cancelled", "settle")
@pytest.mark.parametrize("flying", [0, 2])
def test_nor_when_its_supervisor_gives_it_back(room: Room, flying: int) -> None:
    id, worker = ordered(room)
    back = NO_VERDICTS if flying else Verdicts(1, verdict(id, "release"))
    assert room.run(verbs.settle(room.prefix, worker.name, 1, back, flying)).word == "ok"
    assert room.where(id) == "cancelled"


@arrow("active", "cancelled", "recover")
@pytest.mark.parametrize("how", ["left", "died", "lost"])
def test_nor_when_its_worker_is_gone(room: Room, how: verbs.How) -> None:
    id, worker = ordered(room)
    room.recover(worker, how, started=[id.encode()])
    assert room.where(id) == "cancelled"


def test_one_that_has_ended_by_itself_stays_so(room: Room) -> None:
    (first, worker), (second, other) = ordered(room), ordered(room)
    room.step(worker, 0, [completed(first)])
    room.step(other, 0, [verdict(second, "bury", blob=msgpack.packb({"outcome": "raised"}))])
    assert (room.where(first), room.where(second)) == ("completed", "dead")
    assert room.run(verbs.replay(room.prefix, [second])) == ["replayed"], "nobody has cancelled that life"
    room.hold(other, second)
    room.step(other, 0, [verdict(second, "release")])
    assert room.where(second) == "queued"


def test_a_new_life_of_the_id_has_another_entry(room: Room) -> None:
    """An order may still be on its way to a worker that has had the old one."""
    id, worker = ordered(room)
    room.step(worker, 0, [completed(id)])
    assert room.send(id, "job", 1, 600, b"\x91\x90", token="new") == ["created"]
    assert room.entry_of(id) != id


def test_it_is_never_started(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    room.cancel(id)
    assert room.step(worker).entries == []


@pytest.mark.parametrize(("state", "word"), states.NOT_WAITING)
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
