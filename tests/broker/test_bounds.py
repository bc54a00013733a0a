"""enqueue to what has a bound: how many may wait, and what becomes of those for which there is no room."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgpack
import pytest

from distq import Distq, QueueFull
from distq.broker import verbs
from distq.broker.room import Full, words
from distq.broker.scripts import script
from distq.message import new_ids
from tests.support import ticking
from tests.support.arrows import arrow
from tests.support.eventually import eventually
from tests.support.room import Room, completed, retried

COUNTED = {"c": True}
TYPES = ["job", "v2/job"]


def queue_bound(most: int, how: str = "reject") -> dict[str, Any]:
    return {"bounds": [["", most, how]]}


def type_bound(room: Room, most: int, how: str = "reject") -> dict[str, Any]:
    return {"bounds": [["job", most, how]], "key": "", "flow": b"\x81\xa1c\xc3"}


def send(room: Room, number: int, **options: Any) -> tuple[list[str], list[Any]]:
    ids = new_ids("default", number)
    reply = room.wire.run_script(script("enqueue"), room.enqueue_many_bytes(ids, **options))
    return ids, [word if isinstance(word, Full) else word == b"created" for word in words(reply, number)]


def full(reply: list[Any]) -> Full:
    last = reply[-1]
    assert isinstance(last, Full)
    return last


def test_as_many_of_a_call_as_fit(room: Room) -> None:
    ids, said = send(room, 5, **queue_bound(3))
    assert said[:3] == [True, True, True]
    assert [isinstance(one, Full) for one in said[3:]] == [True, True]
    assert full(said)[:3] == ("reject", 3, 0)
    assert room.lists()[room.key("QUEUE", "default")] == ids[:3]
    _, again = send(room, 1, **queue_bound(3))
    assert full(again) == Full("reject", 3, 3, 1.0, "")


def test_what_is_refused_writes_no_task_and_is_counted_nowhere(room: Room) -> None:
    send(room, 1, **queue_bound(1))
    before = room.snapshot()
    send(room, 1, **queue_bound(1))
    after = room.snapshot()
    after.pop(room.key("REFUSED"))
    assert after == before


def test_a_resend_finds_what_it_has_made_although_it_is_full(room: Room) -> None:
    ids = new_ids("default", 3)
    data = room.enqueue_many_bytes(ids, **queue_bound(2))
    first = words(room.wire.run_script(script("enqueue"), data), 3)
    again = words(room.wire.run_script(script("enqueue"), data), 3)
    assert first[:2] == [b"created"] * 2
    assert again[:2] == [b"duplicate"] * 2
    assert isinstance(again[2], Full)
    assert room.redis.hlen(room.key("TASKS")) == 2


def test_an_id_of_the_users_that_finds_no_room_can_be_sent_again(room: Room) -> None:
    room.enqueue(id="other")
    assert room.send("mine", token="t", **queue_bound(1))[0] == "full"
    assert room.send("mine", token="t", **queue_bound(2)) == ["created"]
    assert room.send("mine", token="t", **queue_bound(1)) == ["created"]
    assert room.send("mine", token="u", **queue_bound(1)) == ["duplicate"], "it is no new task, so it needs no room"


def test_of_a_queue_what_waits_and_what_is_scheduled_counts_and_what_runs_does_not(room: Room) -> None:
    (first,), _ = send(room, 1, **queue_bound(2))
    send(room, 1, delay=60_000, **queue_bound(2))
    assert isinstance(send(room, 1, **queue_bound(2))[1][0], Full)
    worker = room.register()
    assert room.hold(worker, first) == first
    assert send(room, 1, **queue_bound(2))[1] == [True]
    assert isinstance(send(room, 1, **queue_bound(2))[1][0], Full)
    room.step(worker, want=0, verdicts=[retried(first, 60_000)])
    assert full(send(room, 1, **queue_bound(2))[1]).pending == 3, "a retry is not refused, but it counts"


def test_of_a_type_likewise_and_others_are_not_its_affair(room: Room) -> None:
    for _ in range(5):
        room.enqueue("other")
    ids, said = send(room, 3, **type_bound(room, 2))
    assert said[:2] == [True, True]
    assert full(said)[:3] == ("reject", 2, 0)
    worker = room.register(TYPES, flows={"job": COUNTED})
    assert [entry.decode() for entry in room.step(worker).entries[:2]] == ids[:2]
    assert send(room, 2, **type_bound(room, 2))[1] == [True, True]
    assert isinstance(send(room, 1, **type_bound(room, 2))[1][0], Full)
    room.step(worker, want=0, verdicts=[completed(ids[0]), retried(ids[1], 60_000)])
    assert full(send(room, 1, **type_bound(room, 2))[1]).pending == 3


@arrow("queued", "cancelled", "enqueue")
@pytest.mark.parametrize("of", ["queue", "type"])
def test_drop_oldest_ends_what_has_waited_longest(room: Room, of: str) -> None:
    options = queue_bound(3, "drop") if of == "queue" else type_bound(room, 3, "drop")
    ids, _ = send(room, 3, **options)
    new, said = send(room, 2, **options)
    assert said == [True, True]
    assert [room.where(id) for id in (*ids, *new)] == ["cancelled"] * 2 + ["queued"] * 3
    word, details = room.result(ids[0])
    assert (word, details["by"]) == ("cancelled", "dropped: queue full")


def test_drop_oldest_looks_at_all_priorities_and_lanes_and_never_at_what_runs(room: Room) -> None:
    running = room.enqueue()
    worker = room.register()
    room.hold(worker, running)
    ghost = room.enqueue(priority=0)
    assert room.cancel(ghost) == "cancelled"
    calls: list[dict[str, Any]] = [
        {"priority": 0},
        {"type": "limited", "limit": f"{3600_000_000} 1"},
        {"type": "flowing", "key": "a", "flow": b"\x81\xa1f\xc3"},
        {"priority": 2},
    ]
    waiting = []
    for call in calls:
        room.pass_time(10)
        waiting.append(room.enqueue(**call))
    for number in range(1, 5):
        assert send(room, 1, **queue_bound(4, "drop"))[1] == [True]
        assert [room.where(id) for id in waiting] == ["cancelled"] * number + ["queued"] * (4 - number)
    assert room.where(running) == "active"


def test_drop_oldest_refuses_where_nothing_waits_that_could_go(room: Room) -> None:
    send(room, 2, delay=60_000, **queue_bound(2, "drop"))
    assert full(send(room, 1, **queue_bound(2, "drop"))[1]).how == "drop"
    assert isinstance(send(room, 1, delay=60_000, **queue_bound(2, "drop"))[1][0], Full)


def test_what_is_blocked_is_dropped_too(room: Room) -> None:
    worker = room.register(TYPES, flows={"job": {"m": 1, "c": True}})
    ids, _ = send(room, 3, **type_bound(room, 3, "drop"))
    assert len(room.step(worker).entries) == 1
    send(room, 2, **type_bound(room, 3, "drop"))
    assert [room.where(id) for id in ids] == ["active", "cancelled", "queued"]


def test_retry_after_is_by_how_fast_the_queue_empties(room: Room) -> None:
    send(room, 100, **queue_bound(100))
    assert full(send(room, 1, **queue_bound(100))[1]).retry_s == 1.0, "nothing is known yet"
    at, gone, _ = room.redis.hget(room.key("REFUSED"), "").split()
    room.redis.hset(room.key("REFUSED"), "", f"{int(at) - 10_000} {int(gone) - 5} 0")  # 5 in 10 s
    assert full(send(room, 11, **queue_bound(100))[1]).retry_s == pytest.approx(20, rel=0.2)


def test_room_is_told_to_whoever_waits_for_it(room: Room) -> None:
    (first,), _ = send(room, 1, **queue_bound(1, "block"))
    worker = room.register()
    assert not room.redis.exists(room.key("WANTED"))
    send(room, 1, **queue_bound(1, "block"))
    assert not room.redis.exists(room.key("ROOM"))
    room.hold(worker, first)
    assert room.redis.exists(room.key("ROOM"))
    send(room, 1, **queue_bound(1, "block"))
    assert not room.redis.exists(room.key("ROOM")), "it has been taken"
    room.redis.zadd(room.key("WANTED"), {"1 ": 1})  # nobody waits any more
    room.step(worker)
    assert not room.redis.hexists(room.key("META"), "wanted")


def test_versions_of_a_type_are_counted_each_for_itself(room: Room) -> None:
    """While a release replaces another, what runs of the old one is no room for the new one."""
    worker = room.register(TYPES, flows={"job": COUNTED})
    send(room, 3, **type_bound(room, 9))
    assert len(room.step(worker).entries) == 3
    new = {"type": "job@2", "key": "", "bounds": [["job@2", 2, "reject"]], "flow": b"\x81\xa1c\xc3"}
    assert send(room, 2, **new)[1] == [True, True]
    assert full(send(room, 1, **new)[1]).pending == 2


def test_of_a_batch_that_has_lost_its_oldest_the_others_wait_since_they_came(room: Room) -> None:
    policy = {"n": 9, "w": 60_000, "c": True}
    batched = {"bounds": [["job", 2, "drop"]], "key": "", "flow": msgpack.packb(policy)}
    worker = room.register(TYPES, flows={"job": policy})
    ids = []
    for _ in range(3):
        ids += send(room, 1, **batched)[0]
        room.pass_time(20)
    assert [room.where(id) for id in ids] == ["cancelled", "queued", "queued"]
    since = [int(ms) for ms in room.redis.hvals(room.key("FILLING"))]
    assert since == [room.head(ids[1]).created_ms]
    assert not room.step(worker).entries


def test_a_tick_of_a_schedule_is_made_although_it_is_full(room: Room) -> None:
    """It may not be lost in silence, and nobody is there to be told."""
    send(room, 1, **queue_bound(1))
    ticking.create(room)
    (id,) = new_ids("default", 1)
    assert ticking.fire(room, ticking.due(ticking.come(room), id)).words == ["fired"]
    assert room.where(id) == "queued"
    assert full(send(room, 1, **queue_bound(1))[1]).pending == 2


@pytest.mark.parametrize("verb", ["cancel", "purge", "tick"])
def test_room_comes_by_endings_too(room: Room, verb: str) -> None:
    (first,), _ = send(room, 1, **queue_bound(1, "block"), **({"expires_in": 20} if verb == "tick" else {}))
    send(room, 1, **queue_bound(1, "block"))
    if verb == "cancel":
        room.cancel(first)
    elif verb == "purge":
        room.run(verbs.purge(room.prefix, "default", "me"))
    else:
        room.pass_time(30)
        room.tick()
    assert room.redis.exists(room.key("ROOM"))


# -- as callers see it ---------------------------------------------------------------------------------------------


def declared(url: str, **options: Any) -> Any:
    app = Distq("app", url)
    app.queue("default", **options)

    @app.task(type="job")
    def job(number: int = 0) -> None: ...

    return job


def test_queue_full_says_when_to_come_again_and_what_is_there(url: str) -> None:
    job = declared(url, max_pending=2)
    job.delay_many([(1,), (2,)])
    with pytest.raises(QueueFull, match="queue default is full: 2 tasks wait, and max_pending is 2") as raised:
        job.delay(3)
    error = raised.value
    assert (error.limit, error.count, error.retry_after, list(error.handles)) == (2, 2, 1.0, [])


def test_delay_many_says_for_which_there_was_room(url: str) -> None:
    job = declared(url, max_pending=1500)
    with pytest.raises(QueueFull) as raised:
        job.delay_many([(number,) for number in range(2500)])
    assert len(raised.value.handles) == 1500
    assert all(handle.status() == "queued" for handle in raised.value.handles[::300])


async def _all(calls: list[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_of_calls_of_one_turn_of_a_loop_as_many_as_fit(url: str) -> None:
    job = declared(url, max_pending=3)
    found = asyncio.run(_all([job.adelay(number) for number in range(5)]))
    assert [isinstance(one, QueueFull) for one in found] == [False] * 3 + [True] * 2


def test_block_waits_for_room_and_no_longer_than_it_may(url: str, room: Room) -> None:
    job = declared(url, max_pending=1, on_full="block", block_timeout=30)
    first = job.delay()
    worker, found = room.register(), []
    thread = threading.Thread(target=lambda: found.append(job.delay()))
    thread.start()
    eventually(lambda: room.redis.exists(room.key("WANTED")), "somebody waits")
    room.hold(worker, first.id)
    thread.join(20)
    assert found[0].status() == "queued"
    impatient = declared(url, max_pending=1, on_full="block", block_timeout=0.05)
    with pytest.raises(QueueFull):
        impatient.delay()


def test_block_does_not_stop_an_event_loop(url: str, room: Room) -> None:
    job = declared(url, max_pending=2, on_full="block", block_timeout=30)
    worker = room.register()

    async def run() -> list[Any]:
        waiting = asyncio.gather(job.adelay_many([(number,) for number in range(6)]), job.adelay(7))
        steps: list[bytes] = []
        while not waiting.done():
            await asyncio.sleep(0.01)
            steps = room.step(worker, want=1, verdicts=[completed(entry.decode()) for entry in steps]).entries
        room.step(worker, want=0, verdicts=[completed(entry.decode()) for entry in steps])
        many, one = await waiting
        return [*many, one]

    handles = asyncio.run(run())
    assert len({handle.id for handle in handles}) == 7


def test_a_type_has_a_bound_of_its_own(url: str) -> None:
    app = Distq("app", url)

    @app.task(max_pending=2)
    def small() -> None: ...

    @app.task
    def other() -> None: ...

    small.delay_many([(), ()])
    other.delay()
    with pytest.raises(QueueFull, match="type small is full: 2 tasks wait"):
        small.delay()
    assert other.delay().status() == "queued"


def test_each_partition_has_its_share(url: str) -> None:
    app = Distq("app", url)
    app.queue("bulk", partitions=2, max_pending=4)

    @app.task(queue="bulk")
    def job() -> None: ...

    for _ in range(4):
        job.delay()
    with pytest.raises(QueueFull):
        job.delay()


def test_a_call_without_room_takes_no_name(url: str) -> None:
    """A name that it had taken would stand for nothing."""
    app = Distq("app", url)

    @app.task(max_pending=1, unique="number")
    def job(number: int) -> None: ...

    first = job.delay(1)
    assert job.delay(1).id == first.id, "it means a task that is there, so it needs no room"
    with pytest.raises(QueueFull):
        job.delay(2)
    assert first.cancel()
    assert job.delay(2).created


def test_a_call_that_replaces_one_needs_no_room_unless_that_one_runs(url: str, room: Room) -> None:
    app = Distq("app", url)

    @app.task(type="job", max_pending=1, unique="number", on_duplicate="replace")
    def job(number: int) -> None: ...

    first = job.delay(1)
    second = job.delay(1)
    assert (first.status(), second.status()) == ("cancelled", "queued")
    with pytest.raises(QueueFull) as raised:
        job.delay_many([(2,), (2,), (1,)])
    (third,) = raised.value.handles
    assert (second.status(), third.status()) == ("cancelled", "queued")
    assert len(room.step(room.register(TYPES, flows={"job": COUNTED})).entries) == 1
    job.delay(2)
    with pytest.raises(QueueFull):
        job.delay_many([(1,)])
