"""checkpoint: what a running task remembers. It moves nothing, and only the task's owner can write."""

from __future__ import annotations

import time

import msgpack
import pytest

from distq.broker import memory, verbs
from distq.broker.memory import MOST_BYTES, MOST_FIELDS, PROGRESS
from distq.message import HAS_MEMORY
from tests.support import states
from tests.support.room import Room, Worker, buried, retried, verdict

STEP = memory.field("step", "charge")
DAY_MS = 86_400_000


def checkpoint(room: Room, worker: Worker, entry: str, pairs: dict[bytes, bytes]) -> str:
    return room.run(memory.checkpoint(room.prefix, worker.name, entry.encode(), pairs))[0]


def recall(room: Room, worker: Worker, entry: str) -> dict[bytes, bytes]:
    word, found = room.run(memory.checkpoint(room.prefix, worker.name, entry.encode(), {}))
    assert word == "ok"
    return {field: value for field, value in found.items() if field != b"size"}


def held_with_memory(room: Room, **options: object) -> tuple[str, Worker]:
    id, worker = states.held(room, **options)
    assert checkpoint(room, worker, id, {STEP: b"one"}) == "ok"
    return id, worker


def test_it_is_written_and_read_by_the_owner_and_nothing_moves(room: Room) -> None:
    id, worker = states.held(room)
    assert recall(room, worker, id) == {}
    assert not room.head(id).flags & HAS_MEMORY
    assert checkpoint(room, worker, id, {STEP: b"one", b"rows:x": b"two"}) == "ok"
    assert checkpoint(room, worker, id, {STEP: b"three"}) == "ok"
    assert recall(room, worker, id) == {STEP: b"three", b"rows:x": b"two"}
    assert room.where(id) == "active"
    assert room.head(id).flags & HAS_MEMORY
    assert room.redis.pttl(room.key("MEMORY", id)) > 29 * DAY_MS


def test_a_repeated_call_changes_nothing(room: Room) -> None:
    id, worker = held_with_memory(room)
    before = room.snapshot()
    assert checkpoint(room, worker, id, {STEP: b"one"}) == "ok"
    assert room.snapshot() == before


@pytest.mark.parametrize("state", states.all_but("active"))
def test_a_task_that_does_not_run_remembers_nothing(room: Room, state: str) -> None:
    id, worker = states.MAKE[state](room), room.register()
    before = room.snapshot()
    assert checkpoint(room, worker, id, {STEP: b"one"}) == "gone"
    assert checkpoint(room, worker, id, {}) == "gone"
    assert room.snapshot() == before


def test_who_has_lost_the_task_can_write_no_more(room: Room) -> None:
    id, first = held_with_memory(room)
    room.recover(first, "lost", started=[id.encode()])
    second = room.register()
    room.hold(second, id)
    before = room.snapshot()
    assert checkpoint(room, first, id, {STEP: b"stale", PROGRESS: b"stale"}) == "gone"
    assert room.snapshot() == before
    assert recall(room, second, id) == {STEP: b"one"}


@pytest.mark.parametrize("word", ["release", "snooze", "park"])
def test_it_goes_on_with_the_task(room: Room, word: str) -> None:
    id, worker = held_with_memory(room)
    room.step(worker, 0, [verdict(id, word)])
    room.hold(worker, id)
    assert recall(room, worker, id) == {STEP: b"one"}


def test_a_delay_does_not_outlast_it(room: Room) -> None:
    id, worker = held_with_memory(room)
    room.step(worker, 0, [retried(id, 300 * DAY_MS)])
    assert room.redis.pttl(room.key("MEMORY", id)) > 300 * DAY_MS


@pytest.mark.parametrize("ending", ["complete", "cancel", "expire"])
def test_it_ends_with_the_task(room: Room, ending: str) -> None:
    id, worker = held_with_memory(room, expires_in=60_000)
    if ending == "complete":
        room.step(worker, 0, [verdict(id, "complete_again", number=600_000, blob=msgpack.packb(["completed"]))])
        assert room.where(id) == "completed"
    else:
        room.step(worker, 0, [retried(id, 1000)])
        if ending == "cancel":
            room.cancel(id)
        else:
            room.pass_time(61_000)
            room.tick()
    assert not room.redis.exists(room.key("MEMORY", id))


def test_a_replay_goes_on_where_the_dead_one_was(room: Room) -> None:
    id, worker = held_with_memory(room)
    room.step(worker, 0, [buried(id)])
    assert room.run(verbs.replay(room.prefix, [id])) == ["replayed"]
    room.hold(worker, id)
    assert recall(room, worker, id) == {STEP: b"one"}


def test_it_goes_with_a_dead_letter(room: Room) -> None:
    id, worker = held_with_memory(room)
    room.step(worker, 0, [buried(id)])
    assert room.redis.exists(room.key("MEMORY", id))
    assert room.run(verbs.purge_dead(room.prefix, [id])) == 1
    assert not room.redis.exists(room.key("MEMORY", id))


def test_a_new_life_of_an_id_remembers_nothing_of_the_last(room: Room) -> None:
    id, worker = held_with_memory(room, id="order-17", token="first")
    room.step(worker, 0, [buried(id)])
    room.enqueue(id=id, token="second")
    room.hold(worker, id)
    assert recall(room, worker, id) == {}


def test_what_another_release_has_left_behind_is_not_remembered(room: Room) -> None:
    id, worker = states.held(room)
    room.redis.hset(room.key("MEMORY", id), STEP, b"old")
    assert recall(room, worker, id) == {}
    assert checkpoint(room, worker, id, {b"step:other": b"new"}) == "ok"
    assert recall(room, worker, id) == {b"step:other": b"new"}


def test_it_is_bounded_and_what_has_no_room_writes_nothing(room: Room) -> None:
    id, worker = held_with_memory(room)
    before = room.snapshot()
    assert checkpoint(room, worker, id, {b"step:large": bytes(MOST_BYTES)}) == "full"
    many = {b"step:%d" % number: b"" for number in range(MOST_FIELDS)}
    assert checkpoint(room, worker, id, many) == "full"
    assert room.snapshot() == before
    assert checkpoint(room, worker, id, {STEP: bytes(MOST_BYTES - 100)}) == "ok"
    assert checkpoint(room, worker, id, {b"step:more": bytes(100)}) == "full"
    assert checkpoint(room, worker, id, {STEP: bytes(10)}) == "ok", "what shrinks has room"
    assert checkpoint(room, worker, id, {b"step:more": bytes(100)}) == "ok"


def test_progress_always_has_room(room: Room) -> None:
    id, worker = held_with_memory(room)
    used = len(STEP) + 3
    assert checkpoint(room, worker, id, {b"step:rest": bytes(MOST_BYTES - used - 9)}) == "ok"
    said = msgpack.packb([1, 2, "x", time.time()])
    assert checkpoint(room, worker, id, {PROGRESS: said}) == "ok"
    assert recall(room, worker, id)[PROGRESS] == said


def test_a_full_broker_lets_a_task_remember(room: Room) -> None:
    id, worker = held_with_memory(room)
    fresh, other = states.held(room)
    room.redis.config_set("maxmemory", 1)
    try:
        assert checkpoint(room, worker, id, {STEP: b"more"}) == "ok"
        assert checkpoint(room, other, fresh, {STEP: b"first"}) == "ok"
    finally:
        room.redis.config_set("maxmemory", 0)
    assert recall(room, worker, id) == {STEP: b"more"}
