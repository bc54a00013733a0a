"""Lanes of types that some workers take from nowhere else: `register` with `apart`."""

from __future__ import annotations

from distq.broker import together, verbs
from distq.message import parse
from tests.support.room import Room, Worker, verdict


def loop(room: Room, *types: str) -> Worker:
    """A worker that takes these types from their lanes, and nothing else."""
    return room.register(types, takes="lanes", apart=types)


def kinds(room: Room) -> dict[bytes, bytes]:
    return dict(room.redis.hgetall(room.key("LANES")))


def entries(step: verbs.Step) -> list[str]:
    return [entry.decode() for entry in step.entries]


def renew(room: Room, worker: Worker, *types: str) -> None:
    room.run(together.renew([room.prefix], "host", 15_000, worker.digest, types, [worker.name]))


def test_each_worker_is_handed_its_kind_and_woken_for_nothing_else(room: Room) -> None:
    waits, computes = loop(room, "fetch"), room.register(["resize"], takes="sound")
    fetched = [room.enqueue("fetch") for _ in range(2)]
    assert not room.redis.exists(room.key("WAKE")), "who takes no such type is not woken"
    assert room.redis.exists(room.key("WAKE_GROUP", waits.digest))
    resized = room.enqueue("resize")
    assert entries(room.step(waits)) == fetched
    assert entries(room.step(waits)) == []
    assert not room.redis.exists(room.key("WAKE_GROUP", waits.digest))
    assert entries(room.step(computes)) == [resized]


def test_a_worker_that_announces_everything_takes_from_these_lanes_too(room: Room) -> None:
    loop(room, "fetch")
    all = room.register(["fetch", "resize"])
    id = room.enqueue("fetch")
    assert entries(room.step(all)) == [id]


def test_what_was_ready_before_moves_into_its_lane_when_it_is_met(room: Room) -> None:
    before = [room.enqueue(type) for type in ("fetch", "resize", "fetch")]
    waits, computes = loop(room, "fetch"), room.register(["resize"], takes="sound")
    assert entries(room.step(waits)) == []
    assert entries(room.step(computes)) == [before[1]]
    assert entries(room.step(waits)) == [before[0], before[2]]


def test_the_lane_is_kept_when_it_is_empty(room: Room) -> None:
    waits = loop(room, "fetch")
    first = room.enqueue("fetch")
    room.step(waits)
    room.step(waits, verdicts=[verdict(first, "complete", type="fetch", number=60_000)])
    assert kinds(room) == {b"fetch": b"apart fetch"}


def test_a_lane_that_an_older_release_has_forgotten_is_there_after_the_next_renewal(room: Room) -> None:
    waits = loop(room, "fetch")
    room.redis.hdel(room.key("LANES"), "fetch")
    renew(room, waits, "fetch")
    assert kinds(room) == {b"fetch": b"apart fetch"}


def test_when_the_group_is_gone_its_lanes_end_and_lose_nothing(room: Room) -> None:
    waits = loop(room, "fetch", "mail")
    held = room.enqueue("fetch")
    room.recover(waits, "left")
    room.redis.delete(room.key("TYPES", waits.digest))
    other = room.register(["fetch", "mail", "sms"])
    renew(room, other, "fetch", "mail", "sms")
    assert kinds(room) == {b"fetch": b"parked 86400000"}
    assert entries(room.step(other)) == [held]
    assert kinds(room) == {}
    assert not room.redis.hexists(room.key("META"), "apart")
    room.enqueue("mail")
    assert len(room.lists()[room.key("QUEUE", "default")]) == 1


def test_a_limit_goes_before_and_leaves_the_lane_when_it_ends(room: Room) -> None:
    waits = room.register(["mail"], {"mail": "60000000 1"}, takes="lanes", apart=["mail"])
    assert kinds(room) == {b"mail": b"limited"}
    first, second = (room.enqueue("mail", limit="60000000 1") for _ in range(2))
    assert entries(room.step(waits)) == [first], "the limit holds"
    again = room.register(["mail"], {"mail": ""}, takes="lanes", apart=["mail"])
    assert kinds(room) == {b"mail": b"apart mail"}
    assert entries(room.step(again)) == [second]


def test_no_lane_keeps_the_others_waiting(room: Room) -> None:
    waits = loop(room, "fetch", "mail", "sms")
    for _ in range(20):
        for type in ("fetch", "mail", "sms"):
            room.enqueue(type)
    got = [parse(raw).type for _ in range(3) for raw in room.step(waits, want=2).messages]
    assert set(got) == {"fetch", "mail", "sms"}


def test_who_takes_nothing_is_handed_nothing(room: Room) -> None:
    idle = room.register(["fetch"], takes="nothing")
    room.enqueue("fetch")
    assert entries(room.step(idle)) == []
    assert room.redis.exists(room.key("WAKE")), "another one is woken"


def test_a_suspect_is_nothing_for_who_runs_others_beside_it(room: Room) -> None:
    waits = loop(room, "fetch")
    id = room.enqueue("fetch")
    room.step(waits)
    room.recover(waits, "died", started=[id.encode()])
    again = loop(room, "fetch")
    assert entries(room.step(again)) == []
    assert room.redis.exists(room.key("WAKE_ALONE"))
