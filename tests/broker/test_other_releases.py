"""Flows beside hosts of a release that knows none: what those put, take, forget and end."""

from __future__ import annotations

import pytest

from tests.broker.test_flow import TYPES, entries, flow, make
from tests.broker.test_renew import renew
from tests.support.room import Room, Worker, completed, retried


def put(room: Room, *ids: str) -> None:
    """As they do with what they recover, or whose time has come."""
    room.redis.zrem(room.key("DELAYED"), *ids)
    room.redis.rpush(room.key("LANE", "default:v2/job"), *ids)
    room.redis.sadd(room.key("LANES_AT", "default"), "v2/job")


def forget(room: Room, worker: Worker) -> None:
    """As they do with a lane that seems empty, when they renew their leases."""
    room.redis.srem(room.key("LANES_AT", "default"), "v2/job")
    room.redis.hdel(room.key("LANES"), "v2/job")
    room.redis.delete(room.key("WAKE_GROUP", worker.digest))


def test_what_they_put_into_the_lane_without_a_key_goes_where_it_belongs(room: Room) -> None:
    first, second = make(room, 2, "a", flow=flow(o=1))
    worker = room.register(TYPES, flows={"job": {"o": 1}})
    assert entries(room.step(worker)) == [first]
    room.step(worker, want=0, verdicts=[retried(first, 60_000)])
    put(room, first)
    assert entries(room.step(worker)) == [first], "nothing overtakes it"
    assert entries(room.step(worker, verdicts=[completed(first)])) == [second]
    room.step(worker, want=0, verdicts=[completed(second)])
    assert not room.redis.exists(room.key("FLOWING"))


@pytest.mark.parametrize("key", ["", "a"])
def test_more_of_it_than_one_look_takes_in(room: Room, key: str) -> None:
    ids = [room.enqueue(key=key, flow=flow(m=200), delay=60_000) for _ in range(150)]
    worker = room.register(TYPES, flows={"job": {"m": 200}})
    put(room, *ids)
    assert [*entries(room.step(worker, want=200)), *entries(room.step(worker, want=200))] == ids


def test_what_they_put_beside_what_is_there_is_counted_again(room: Room) -> None:
    policy = {"m": 1}
    late = make(room, 2, "", flow=flow(**policy), delay=60_000)
    worker = room.register(TYPES, flows={"job": policy})
    here = make(room, 2, "", flow=flow(**policy))
    assert entries(room.step(worker)) == here[:1]
    put(room, *late)
    renew(room, worker)
    assert room.redis.hget(room.key("FLOWING"), "default v2/job") == b"3"
    assert entries(room.step(worker)) == [], "one at a time"


def test_a_flow_that_they_have_forgotten_is_one_all_the_same(room: Room) -> None:
    ids = make(room, 3, "a", flow=flow(mk=1))
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    assert entries(room.step(worker)) == ids[:1]
    forget(room, worker)
    assert entries(room.step(worker, verdicts=[retried(ids[0], 0)])) == ids[1:2]
    assert entries(room.step(worker)) == [], "one at a time"
    forget(room, worker)
    assert entries(room.step(worker, verdicts=[completed(ids[1])])) == ids[2:3]
    room.step(worker, want=0, verdicts=[completed(ids[2])])
    forget(room, worker)
    renew(room, worker)
    assert entries(room.step(worker)) == ids[:1]


def test_what_they_have_ended_keeps_neither_its_place_nor_its_name(room: Room) -> None:
    (first,) = make(room, 1, {"k": "a", "u": "one"}, flow=flow(o=1), unique=True)
    (second,) = make(room, 1, {"k": "a", "u": "two"}, flow=flow(o=1), unique=True)
    worker = room.register(TYPES, flows={"job": {"o": 1}})
    assert entries(room.step(worker)) == [first]
    room.redis.lrem(room.key("PROCESSING", worker.name), 1, first)
    room.redis.hdel(room.key("TASKS"), first)
    room.redis.hincrby(room.key("LEDGER"), "completed job", 1)
    assert entries(room.step(worker)) == []
    renew(room, worker)
    assert entries(room.step(worker)) == [second]


def test_what_they_take_for_lost_runs_once(room: Room) -> None:
    ids = make(room, 3, "a", flow=flow(f=1))
    worker = room.register(TYPES, flows={"job": {"f": 1}})
    assert entries(room.step(worker, want=1)) == ids[:1]
    room.redis.rpush(room.key("LANE", "default:v2/job"), *ids)
    room.redis.rpush(room.key("QUEUE", "default"), ids[1])
    assert entries(room.step(worker, want=1)) == ids[1:2]
    assert entries(room.step(worker)) == ids[2:]
    renew(room, worker)
    assert entries(room.step(worker, verdicts=[completed(id) for id in ids])) == []
    assert not room.redis.exists(room.key("QUEUE", "default"), room.key("LANE", "default:v2/job"))


def test_also_if_that_is_more_than_one_look_takes_in(room: Room) -> None:
    ids = make(room, 150, "a", flow=flow(f=1))
    worker = room.register(TYPES, flows={"job": {"f": 1}})
    put(room, *ids)
    got = [id for _ in range(4) for id in entries(room.step(worker, want=100))]
    assert got == ids


def test_what_they_lay_aside_gives_its_place_back(room: Room) -> None:
    first, second, third = make(room, 3, "", flow=flow(m=1))
    worker = room.register(TYPES, flows={"job": {"m": 1}})
    assert entries(room.step(worker)) == [first]
    room.redis.lrem(room.key("PROCESSING", worker.name), 1, first)
    put(room, first)
    assert entries(room.step(worker)) == []
    renew(room, worker)
    assert entries(room.step(worker)) == [second]
    assert entries(room.step(worker, verdicts=[completed(second)])) == [third]
    assert entries(room.step(worker, verdicts=[completed(third)])) == [first]


def test_one_of_this_release_keeps_the_time_in_their_place(room: Room) -> None:
    room.tick("theirs")
    room.redis.hdel(room.key("META"), "keeper_again")
    assert renew(room, host="ours").keeper == ""
    assert room.tick("ours").is_keeper
    assert not room.tick("theirs").is_keeper
