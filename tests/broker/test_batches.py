"""Batches: a lane is handed over when it is full, or its first entry has waited for so long, and in one piece."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from distq.broker import verbs
from tests.support.room import Room, Worker, completed, verdict
from tests.support.switch import pause, resume

HOUR_MS = 3_600_000


def policy(n: int = 3, w: int = HOUR_MS, **more: Any) -> dict[str, Any]:
    return {"n": n, "w": w, **more}


def make(room: Room, number: int, key: str = "", said: dict[str, Any] | None = None, **options: Any) -> list[str]:
    return [room.enqueue(key=key, flow=msgpack.packb(said or policy()), **options) for _ in range(number)]


def register(room: Room, said: dict[str, Any] | None = None, **options: Any) -> Worker:
    return room.register(["job", "v2/job"], flows={"job": said or policy()}, **options)


def entries(step: verbs.Step) -> list[str]:
    return [entry.decode() for entry in step.entries]


def marked(room: Room, worker: Worker) -> bool:
    return bool(room.redis.exists(room.key("WAKE_GROUP", worker.digest)))


def left(room: Room) -> set[str]:
    found = {key.decode().removeprefix(room.prefix).partition(":")[0] for key in room.redis.keys(room.prefix + "*")}
    return found & {"turns", "blocked", "filling", "flowing", "resumes", "lane"}


def test_a_batch_is_handed_over_when_it_is_full_and_not_before(room: Room) -> None:
    worker = register(room)
    first = make(room, 2)
    assert not marked(room, worker), "nobody is woken for it"
    assert entries(room.step(worker)) == []
    last = make(room, 1)
    assert marked(room, worker)
    assert entries(room.step(worker)) == first + last
    room.step(worker, verdicts=[completed(id) for id in first + last])
    assert not left(room)


def test_it_is_one_unit_whatever_the_worker_wanted(room: Room) -> None:
    worker = register(room)
    ids = make(room, 7)
    assert entries(room.step(worker, want=1)) == ids[:3]
    assert entries(room.step(worker, want=4)) == ids[3:6], "one more is not there"
    assert entries(room.step(worker, want=4)) == []


def test_what_is_not_full_goes_when_its_first_one_has_waited(room: Room) -> None:
    said = policy(w=40)
    worker = register(room, said)
    first = make(room, 1, said=said)
    assert entries(room.step(worker)) == []
    (due,) = room.redis.zrange(room.key("RESUMES"), 0, -1, withscores=True)
    assert due[0] == b"default v2/job :"
    assert due[1] <= room.now_ms() + 40
    room.pass_time(50)
    room.tick()
    assert marked(room, worker)
    second = make(room, 1, said=said)
    assert entries(room.step(worker)) == first + second
    room.step(worker, verdicts=[completed(id) for id in first + second])
    assert not left(room)


def test_what_a_full_batch_leaves_waits_since_it_came(room: Room) -> None:
    worker = register(room)
    make(room, 1)
    room.pass_time(20)
    begun = room.redis.hget(room.key("FILLING"), "default v2/job ")
    make(room, 3)
    assert len(entries(room.step(worker))) == 3
    since = room.redis.hget(room.key("FILLING"), "default v2/job ")
    assert float(since) >= float(begun) + 15
    assert entries(room.step(worker)) == []


def test_each_key_fills_its_own(room: Room) -> None:
    worker = register(room)
    a, b = make(room, 2, "a"), make(room, 2, "b")
    assert entries(room.step(worker)) == []
    a += make(room, 1, "a")
    assert entries(room.step(worker)) == a
    b += make(room, 1, "b")
    a = make(room, 3, "a")
    got = entries(room.step(worker))
    assert got in (a + b, b + a), "each stands together"


def test_each_priority_fills_its_own(room: Room) -> None:
    worker = register(room)
    make(room, 2)
    high = make(room, 3, priority=2)
    assert entries(room.step(worker)) == high


def test_the_room_bounds_it(room: Room) -> None:
    worker = register(room)
    ids = make(room, 3, body=b"\x91\x91\xc5\x03\xe8" + bytes(1000))
    assert entries(room.step(worker, room=1100)) == ids[:1]
    assert entries(room.step(worker, room=5000)) == [], "what is left waits for others"
    more = make(room, 1)
    assert entries(room.step(worker)) == ids[1:] + more


def test_what_is_cancelled_or_expires_while_it_waits_is_not_in_it(room: Room) -> None:
    worker = register(room)
    ids = make(room, 2)
    (late,) = make(room, 1, "x", expires_in=20)
    assert room.cancel(ids[0]) == "cancelled"
    ids += make(room, 1)
    assert entries(room.step(worker)) == []
    ids += make(room, 1)
    assert entries(room.step(worker)) == ids[1:]
    room.pass_time(30)
    room.tick()
    assert room.look(late).state == "ended"
    others = make(room, 3, "x")
    assert entries(room.step(worker)) == others
    assert not room.redis.exists(room.key("FILLING"))


def test_those_that_are_to_try_again_wait_for_a_batch_again(room: Room) -> None:
    worker = register(room)
    ids = make(room, 3)
    room.step(worker)
    settled = [completed(ids[0]), verdict(ids[1], "retry", number=0), completed(ids[2])]
    assert entries(room.step(worker, verdicts=settled)) == []
    more = make(room, 2)
    assert entries(room.step(worker)) == [ids[1], *more]


def test_what_was_handed_over_and_comes_back_does_not_wait_again(room: Room) -> None:
    worker = register(room)
    ids = make(room, 3)
    room.step(worker)
    assert entries(room.step(worker, verdicts=[verdict(id, "release") for id in reversed(ids[1:])])) == ids[1:]


@pytest.mark.parametrize("how", ["died", "lost"])
def test_what_its_process_died_with_runs_alone(room: Room, how: verbs.How) -> None:
    worker = register(room)
    ids = make(room, 3)
    room.step(worker)
    room.recover(worker, how, started=[id.encode() for id in ids])
    other = register(room)
    seen: list[str] = []
    for _ in ids:
        step = room.step(other, verdicts=[completed(id) for id in seen[-1:]])
        assert step.alone == 1
        assert len(step.entries) == 1
        seen += entries(step)
    assert sorted(seen) == sorted(ids)


def test_a_rate_counts_its_items(room: Room) -> None:
    rate = {"job": f"{HOUR_MS * 1000} 2"}
    worker = room.register(["job", "v2/job"], flows={"job": policy()}, limits=rate)
    ids = make(room, 3, limit=rate["job"])
    assert entries(room.step(worker)) == ids[:2]


def test_in_order_each_is_alone(room: Room) -> None:
    """Declarations refuse it; another release may say it."""
    said = policy(o=1)
    worker = register(room, said)
    ids = make(room, 3, said=said)
    assert entries(room.step(worker)) == ids[:1]


def test_a_smaller_size_holds_at_once(room: Room) -> None:
    register(room)
    ids = make(room, 2)
    worker = register(room, policy(n=2))
    assert entries(room.step(worker)) == ids


def test_purged(room: Room) -> None:
    make(room, 2, "a")
    make(room, 2, "b")
    taken = 1
    while taken:
        taken = room.run(verbs.purge(room.prefix, "default", "test"))
    assert not left(room)


def test_nothing_is_left_of_the_lane_in_which_a_pause_held_suspects_back(room: Room) -> None:
    """A storm has found that it went on filling."""
    ids = make(room, 3)
    worker = register(room)
    room.step(worker)
    pause(room, "job")
    room.recover(worker, "died", started=[id.encode() for id in ids])
    other = register(room)
    assert entries(room.step(other)) == []
    assert room.redis.hkeys(room.key("FILLING"))
    resume(room, "job")
    while alone := entries(room.step(other)):
        room.step(other, verdicts=[completed(id) for id in alone], want=0)
    assert {room.where(id) for id in ids} == {"completed"}
    assert not left(room)
