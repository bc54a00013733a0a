"""Flows: who may run at once, per key and in all, in turn and in order."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from distq.broker import verbs
from tests.support.room import Room, completed, verdict

TYPES = ["job", "v2/job"]


def flow(**said: Any) -> bytes:
    packed: bytes = msgpack.packb(said)
    return packed


def make(room: Room, number: int, key: str | dict[str, Any], **options: Any) -> list[str]:
    return [room.enqueue(key=key, **options) for _ in range(number)]


def entries(step: verbs.Step) -> list[str]:
    return [entry.decode() for entry in step.entries]


def test_no_more_than_max_running_are_handed_over(room: Room) -> None:
    ids = make(room, 4, "", flow=flow(m=2))
    worker = room.register(TYPES, flows={"job": {"m": 2}})
    assert entries(room.step(worker)) == ids[:2]
    assert entries(room.step(worker)) == []
    assert not room.redis.exists(room.key("WAKE_GROUP", worker.digest)), "nothing can run, so nobody is woken"
    assert entries(room.step(worker, verdicts=[completed(ids[0])])) == ids[2:3]
    assert entries(room.step(worker, verdicts=[completed(ids[1]), completed(ids[2])])) == ids[3:]
    room.step(worker, verdicts=[completed(ids[3])])
    assert not room.redis.exists(*(room.key(name) for name in ("RUNNING", "HELD", "FLOWING", "RESUMES")))


def test_per_key_each_has_its_own(room: Room) -> None:
    a, b = make(room, 3, "a", flow=flow(mk=1)), make(room, 2, "b", flow=flow(mk=1))
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    assert entries(room.step(worker)) == [a[0], b[0]]
    assert entries(room.step(worker, verdicts=[completed(b[0])])) == [b[1]]
    assert entries(room.step(worker, verdicts=[completed(a[0])])) == [a[1]]


def test_keys_take_turns(room: Room) -> None:
    many = make(room, 6, "many", flow=flow(f=1))
    few = make(room, 2, "few", flow=flow(f=1))
    worker = room.register(TYPES, flows={"job": {"f": 1}})
    got = entries(room.step(worker, want=5))
    assert set(got) == {*many[:3], *few}
    assert [id for id in got if id in many] == many[:3], "each in its order"


def test_weights_give_more_turns(room: Room) -> None:
    heavy = make(room, 40, {"k": "heavy", "w": 3}, flow=flow(f=1))
    make(room, 40, "light", flow=flow(f=1))
    worker = room.register(TYPES, flows={"job": {"f": 1}})
    got = entries(room.step(worker, want=40))
    assert 29 <= sum(id in heavy for id in got) <= 31


@pytest.mark.parametrize("word", ["retry", "snooze"])
def test_in_order_nothing_overtakes_what_waits_for_its_next_attempt(room: Room, word: str) -> None:
    first, second = make(room, 2, "a", flow=flow(o=1))
    worker = room.register(TYPES, flows={"job": {"o": 1}})
    assert entries(room.step(worker)) == [first]
    assert entries(room.step(worker, verdicts=[verdict(first, word, number=30)])) == []
    room.pass_time(40)
    assert entries(room.step(worker)) == [first]
    assert entries(room.step(worker, verdicts=[completed(first)])) == [second]


def test_in_order_the_dead_make_room(room: Room) -> None:
    first, second = make(room, 2, "a", flow=flow(o=1))
    worker = room.register(TYPES, flows={"job": {"o": 1}})
    room.step(worker)
    assert entries(room.step(worker, verdicts=[verdict(first, "bury")])) == [second]


def test_a_key_has_its_own_rate(room: Room) -> None:
    """One token an hour, two at once."""
    rate = {"r": f"{3600_000_000} 2"}
    a, b = make(room, 3, "a", flow=flow(**rate)), make(room, 1, "b", flow=flow(**rate))
    worker = room.register(TYPES, flows={"job": rate})
    assert entries(room.step(worker)) == [a[0], a[1], b[0]]
    assert entries(room.step(worker)) == []
    (due,) = room.redis.zrange(room.key("RESUMES"), 0, -1, withscores=True)
    assert due[0] == b"default v2/job :a"
    assert 3590_000 < due[1] - room.now_ms() <= 3600_000
    assert 0 < room.redis.pttl(room.key("BUCKET", "job b")) <= 3600_001, "what is full again is forgotten"


@pytest.mark.parametrize("how", ["died", "lost", "left"])
def test_what_a_dead_worker_held_comes_back(room: Room, how: verbs.How) -> None:
    first, second = make(room, 2, "a", flow=flow(m=1))
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    room.step(worker)
    room.recover(worker, how, started=[first.encode()] if how == "died" else [])
    other = room.register(TYPES, flows={"job": {"m": 1}})
    assert entries(room.step(other)) == [first]
    assert entries(room.step(other, verdicts=[completed(first)])) == [second]


def test_a_cancelled_suspect_makes_room(room: Room) -> None:
    first, second = make(room, 2, "a", flow=flow(m=1))
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    room.step(worker)
    room.recover(worker, "died", started=[first.encode()])
    assert room.cancel(first) == "cancelled"
    other = room.register(TYPES, flows={"job": {"m": 1}})
    assert entries(room.step(other)) == [second]


def test_what_waited_without_a_policy_comes_under_it(room: Room) -> None:
    """In the list of its priority, or in a plain lane."""
    plain = [room.enqueue() for _ in range(3)]
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    assert entries(room.step(worker)) == [], "now they are in its lane"
    assert entries(room.step(worker)) == plain[:1]
    assert entries(room.step(worker, verdicts=[completed(plain[0])])) == plain[1:2]


def test_without_its_policy_all_is_handed_over(room: Room) -> None:
    ids = make(room, 3, "a", flow=flow(mk=1))
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    assert entries(room.step(worker)) == ids[:1]
    other = room.register(TYPES, limits={"job": ""})
    assert entries(room.step(other)) == []  # its key is still taken
    room.step(worker, want=0, verdicts=[completed(ids[0])])
    assert entries(room.step(other)) == ids[1:]


def test_purged_and_counted(room: Room) -> None:
    make(room, 3, "a", flow=flow(mk=1))
    make(room, 2, "b", flow=flow(mk=1))
    depths = room.run(verbs.depths(room.prefix))
    assert (depths.default, depths.in_lanes, depths.live) == (5, 5, 5)
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    held = entries(room.step(worker))
    assert room.run(verbs.depths(room.prefix)).default == 3
    taken = 1
    while taken:
        taken = room.run(verbs.purge(room.prefix, "default", "test"))
    depths = room.run(verbs.depths(room.prefix))
    assert (depths.default, depths.live) == (0, len(held))
    room.step(worker, want=0, verdicts=[completed(id) for id in held])
    left = {key.decode().removeprefix(room.prefix).partition(":")[0] for key in room.redis.keys(room.prefix + "*")}
    assert not left & {"turns", "blocked", "waiters", "running", "held", "flowing", "resumes", "lane"}
