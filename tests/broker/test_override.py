"""override: limits that people set win over the declared ones, at once and until they are cleared."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from distq.broker import controls
from distq.broker.broker import Broker
from tests.broker.test_flow import TYPES, entries, flow, make
from tests.support.eventually import eventually
from tests.support.room import Room, completed
from tests.support.switch import override, pause, resume

HOUR = 3600_000_000


def lane(room: Room, name: str = "job") -> bytes | None:
    found: bytes | None = room.redis.hget(room.key("LANES"), name)
    return found


def test_a_rate_is_set_where_none_is_declared(room: Room) -> None:
    ids = [room.enqueue() for _ in range(3)]
    worker = room.register()
    assert override(room, "job", {"rate": f"{HOUR} 2"}) == ["set"]
    room.step(worker)  # they were in no lane before
    assert entries(room.step(worker)) == ids[:2]
    assert entries(room.step(worker)) == []
    assert override(room, "job", None) == ["cleared"]
    assert entries(room.step(worker)) == ids[2:]
    assert not room.redis.exists(room.key("LIMITS"), room.key("OVERRIDES"))


def test_nothing_was_set(room: Room) -> None:
    room.register(["job"], limits={"job": "1000 5"})
    before = room.snapshot()
    assert override(room, "job", None) == ["none"]
    assert room.snapshot() == before


def test_it_wins_over_what_new_workers_and_callers_declare_until_it_is_cleared(room: Room) -> None:
    slow, fast = f"{HOUR} 1", "1000 5"
    worker = room.register(["job"], limits={"job": slow})
    override(room, "job", {"rate": ""})
    for _ in range(2):
        ids = [room.enqueue(limit=slow) for _ in range(3)]
        assert entries(room.step(worker)) == ids
        room.step(worker, want=0, verdicts=[completed(id) for id in ids])
        worker = room.register(["job"], limits={"job": slow})
    worker = room.register(["job"], limits={"job": fast})
    assert not room.redis.exists(room.key("LIMITS")), "a deployment changes nothing about it"
    override(room, "job", None)
    assert room.redis.hget(room.key("LIMITS"), "job").startswith(b"1000 5 "), "the last declared one holds"
    assert lane(room) == b"limited"


def test_what_waits_for_a_token_of_the_old_rate_looks_again_at_once(room: Room) -> None:
    ids = [room.enqueue(limit=f"{HOUR} 1") for _ in range(5)]
    worker = room.register(["job"], limits={"job": f"{HOUR} 1"})
    assert entries(room.step(worker)) == ids[:1]
    override(room, "job", {"rate": "1000 10"})
    room.pass_time(20)
    assert entries(room.step(worker)) == ids[1:]


def test_what_runs_at_once_is_changed(room: Room) -> None:
    ids = make(room, 5, "", flow=flow(m=2))
    worker = room.register(TYPES, flows={"job": {"m": 2}})
    assert entries(room.step(worker)) == ids[:2]
    assert override(room, "job", {"m": 3})[0] == "set"
    assert entries(room.step(worker)) == ids[2:3]
    override(room, "job", {"m": 1})
    assert entries(room.step(worker, verdicts=[completed(ids[0]), completed(ids[1])])) == []
    assert entries(room.step(worker, verdicts=[completed(ids[2])])) == ids[3:4]
    override(room, "job", None)
    assert entries(room.step(worker)) == ids[4:]


def test_a_type_without_a_flow_gets_one_and_is_as_before(room: Room) -> None:
    ids = [room.enqueue() for _ in range(3)]
    worker = room.register(["job"], limits={"job": ""})
    override(room, "job", {"m": 1})
    room.step(worker)
    assert entries(room.step(worker)) == ids[:1]
    assert entries(room.step(worker)) == []
    override(room, "job", None)
    assert entries(room.step(worker, verdicts=[completed(ids[0])])) == ids[1:]
    room.step(worker, verdicts=[completed(id) for id in ids[1:]])
    assert not room.redis.exists(room.key("LANES"), room.key("FLOWS"), room.key("RUNNING"), room.key("HELD"))


@pytest.mark.parametrize("limit", [{"mk": 3}, {"r": "1000 50"}])
def test_keys_that_wait_look_again_some_at_a_time(room: Room, limit: dict[str, Any]) -> None:
    """300 keys, each with its one running, or without a token for an hour."""
    old = {"mk": 1} if "mk" in limit else {"r": f"{HOUR} 1"}
    for number in range(300):
        make(room, 2, f"key {number}", flow=flow(**old))
    worker = room.register(TYPES, flows={"job": old})
    for _ in range(4):
        room.step(worker, want=100)
    assert entries(room.step(worker)) == []
    broker = Broker(room.app, room.url, 5.0)
    assert controls.override(broker, room.queue, "job", limit, "ann")
    got: set[str] = set()

    def have_all() -> bool:
        got.update(entries(room.step(worker, want=100)))
        return len(got) == 300

    eventually(have_all, "each key has one more")


def test_what_is_set_again_is_added(room: Room) -> None:
    room.register(TYPES, flows={"job": {"m": 2, "mk": 1}})
    override(room, "job", {"m": 5})
    override(room, "job", {"mk": 0}, who="bob")
    assert msgpack.unpackb(room.redis.hget(room.key("FLOWS"), "job")) == {"m": 5}
    found = controls.limits(Broker(room.app, room.url, 5.0), room.queue)["job"]
    assert found.override["by"] == "bob"
    assert found.override["declared"] == {"rate": "", "flow": {"m": 2, "mk": 1}}
    override(room, "job", None)
    assert msgpack.unpackb(room.redis.hget(room.key("FLOWS"), "job")) == {"m": 2, "mk": 1}


def test_every_version_of_a_type_is_limited(room: Room) -> None:
    worker = room.register(["job", "job@2"], limits={"job": "", "job@2": ""})
    override(room, "job", {"rate": f"{HOUR} 1"})
    room.enqueue()
    room.enqueue("job@2")
    assert len(room.step(worker).entries) == 1
    assert entries(room.step(worker)) == []


def test_a_paused_type_can_be_limited(room: Room) -> None:
    ids = [room.enqueue() for _ in range(3)]
    worker = room.register()
    pause(room, "job")
    override(room, "job", {"rate": f"{HOUR} 1"})
    assert entries(room.step(worker)) == []
    resume(room, "job")
    assert entries(room.step(worker)) == ids[:1]
    override(room, "job", None)
    assert entries(room.step(worker)) == ids[1:]
