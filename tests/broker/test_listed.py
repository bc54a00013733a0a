"""Completed tasks of types that declare a history: what is kept of them, and how many, or for how long."""

from __future__ import annotations

import struct

import msgpack
import pytest

from distq.broker import completed
from distq.broker.broker import Broker
from distq.broker.verdicts import again, completion
from distq.kept import LONGEST_MS
from tests.support.room import Room, Worker, verdict

MONTH = 30 * 86_400_000


def done(entry: str, most: int, ms: int, type: str = "job", word: str = "complete") -> bytes:
    element = msgpack.packb(["completed", 42, 1.7e12, 1.7e12])
    blob = struct.pack(">d", 0.25) + element
    return verdict(entry, f"{word}+{most}+{ms}", type=type, number=600_000, blob=blob)


@pytest.fixture
def broker(room: Room) -> Broker:
    return Broker(room.app, room.url, 5.0)


def complete(room: Room, worker: Worker, number: int, most: int = 10, ms: int = LONGEST_MS, size: int = 0) -> list[str]:
    ids = [room.enqueue(body=b"\x91\x91" + msgpack.packb("x" * size)) for _ in range(number)]
    entries = room.step(worker, number).entries
    room.step(worker, 0, [done(entry.decode(), most, ms) for entry in entries])
    return ids


def listed(broker: Broker, queue: str = "default") -> list[str]:
    """The newest first."""
    return [id for type in completed.types(broker, queue) for id, _ in completed.page(broker, queue, type, 0, 1000)]


def test_a_completed_task_is_kept_with_its_call_and_its_result_is_what_it_was(room: Room, broker: Broker) -> None:
    worker = room.register()
    (id,) = complete(room, worker, 1)
    found = completed.find(broker, "default", id)
    assert found is not None
    assert (found.message.type, found.message.body, found.message.attempt) == ("job", b"\x91\x91\xa0", 0)
    assert (found.seconds, found.worker, abs(found.finished_ms - room.now_ms()) < 60_000) == (0.25, worker.name, True)
    assert msgpack.unpackb(room.look(id).result or b"")[1] == 42
    assert room.redis.lrange(room.key("COMPLETED"), 0, -1) == [], "it is listed there no more"
    assert room.where(id) == "completed"
    assert completed.find(broker, "default", "other") is None


def test_the_last_so_many_are_kept(room: Room, broker: Broker) -> None:
    worker = room.register()
    first = complete(room, worker, 3, most=4)
    for id in first:  # within a millisecond nobody is older
        room.redis.zincrby(room.key("DONE_AT", "job"), -1000, id)
    last = complete(room, worker, 3, most=4)
    assert set(last) < set(listed(broker))
    assert len(listed(broker)) == 4
    assert room.redis.hlen(room.key("DONE", "job")) == 4
    assert len(set(listed(broker)) & set(first)) == 1


def test_after_the_clock_was_set_back_the_last_are_the_last_all_the_same(room: Room, broker: Broker) -> None:
    worker = room.register()
    for id in complete(room, worker, 4, most=4):
        room.redis.zincrby(room.key("DONE_AT", "job"), MONTH, id)
    last = complete(room, worker, 3, most=4)
    assert set(listed(broker)[:3]) == set(last)
    assert len(listed(broker)) == 4


def test_none_is_kept_for_longer_than_said(room: Room, broker: Broker) -> None:
    worker = room.register()
    complete(room, worker, 2, ms=MONTH)
    for id in room.redis.zrange(room.key("DONE_AT", "job"), 0, -1):
        room.redis.zincrby(room.key("DONE_AT", "job"), -MONTH, id)
    newest = complete(room, worker, 1, ms=MONTH)
    assert listed(broker) == newest
    assert room.redis.hlen(room.key("DONE", "job")) == 1
    assert 0 < room.redis.pttl(room.key("DONE", "job")) <= MONTH


def test_large_arguments_are_not_kept(room: Room, broker: Broker) -> None:
    (id,) = complete(room, room.register(), 1, size=5000)
    found = completed.find(broker, "default", id)
    assert found is not None
    assert (found.message.type, found.message.body) == ("job", b"")


def test_types_with_and_without_a_history_end_in_one_step(room: Room, broker: Broker) -> None:
    plain, kept, used = room.enqueue("plain"), room.enqueue("job"), room.enqueue("job")
    worker = room.register(["plain", "job"])
    room.step(worker, 3)
    ends = [done(kept, 5, LONGEST_MS), done(used, 5, LONGEST_MS, word="complete_again")]
    room.step(worker, 0, [*ends, verdict(plain, "complete", type="plain", number=600_000, blob=b"\x90")])
    assert sorted(listed(broker)) == sorted([kept, used])
    assert [one[:2] for one in completed.last(broker, "default")] == [(plain, "plain")]
    for push in (room.redis.lpush, room.redis.rpush):  # an earlier release, or before an upgrade
        push(room.key("COMPLETED"), "theirs")
    told = [one[:2] for one in completed.last(broker, "default")]
    assert told == [("theirs", ""), (plain, "plain"), ("theirs", "")]
    assert room.ledger()["completed job"] == 2


def test_what_nobody_has_written_is_nothing(room: Room, broker: Broker) -> None:
    (id,) = complete(room, room.register(), 1)
    for wrong in (b"", b"\xc1", msgpack.packb([1, 2]), msgpack.packb([1, b"12345678", b"w", b"short"])):
        room.redis.hset(room.key("DONE", "job"), id, wrong)
        assert completed.find(broker, "default", id) is None
        assert completed.page(broker, "default", "job", 0, 10) == [(id, None)]


def test_who_used_its_memory_is_listed_all_the_same() -> None:
    kind = completion(b"job", 60, has_records=False, kept=(5, 7))
    assert again(kind) == completion(b"job", 60, has_records=True, kept=(5, 7))
    assert again(again(kind)) == again(kind)
