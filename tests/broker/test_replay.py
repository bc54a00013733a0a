"""replay: dead -> queued, with a fresh budget."""

from __future__ import annotations

import pytest

from distq.broker import verbs
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, buried, retried


def replay(room: Room, *ids: str) -> list[str]:
    return room.run(verbs.replay(room.prefix, ids))


@arrow("dead", "queued", "replay")
def test_a_dead_task_runs_again_with_a_fresh_budget(room: Room) -> None:
    id, worker = room.enqueue(), room.register()
    room.step(worker, 0, [retried(room.hold(worker, id), 0)])
    room.step(worker, 0, [buried(room.hold(worker, id))])
    assert (room.where(id), room.head(id).attempt) == ("dead", 1)
    assert replay(room, id) == ["replayed"]
    assert room.where(id) == "queued"
    assert (room.head(id).attempt, room.head(id).deliveries) == (0, 0)
    assert room.result(id) == []
    assert [record["outcome"] for record in room.attempts(id)] == ["raised", "raised", "replayed"]
    assert room.redis.zcard(room.key("DEAD_LETTERS")) == room.redis.hlen(room.key("DEAD")) == 0


@arrow("dead", "scheduled", "replay")
def test_dead_tasks_may_run_again_one_after_the_other(room: Room) -> None:
    ids = [states.dead(room) for _ in range(3)]
    before = room.now_ms()
    assert room.run(verbs.replay(room.prefix, [*ids, "nobody"], 500, 10_000)) == [*["replayed"] * 3, "unknown"]
    assert [room.where(id) for id in ids] == ["scheduled"] * 3
    due = [room.redis.zscore(room.key("DELAYED"), id) for id in ids]
    assert [at - due[0] for at in due] == [0, 500, 1000]
    assert 10_000 <= due[0] - before < 15_000
    assert int(room.redis.hget(room.key("META"), "armed")) <= due[0]


def test_its_deadline_is_over_and_does_not_count_again(room: Room) -> None:
    id, worker = states.held(room, expires_in=1000)
    room.step(worker, 0, [buried(id)])
    room.pass_time(5000)
    replay(room, id)
    room.tick()
    assert room.where(id) == "queued"


@pytest.mark.parametrize("state", states.all_but("dead"))
def test_anything_else_stays_as_it_is(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert replay(room, id) == ["unknown"]
    assert room.snapshot() == before


def test_twice_is_once(room: Room) -> None:
    id = states.dead(room)
    assert replay(room, id, id) == ["replayed", "unknown"]
