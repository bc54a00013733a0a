"""enqueue: none -> queued | scheduled, and what an id meets that was there before."""

from __future__ import annotations

from typing import Any

import pytest

from distq import message
from distq.broker.connect import ServerError
from distq.broker.scripts import script
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, completed


@arrow("none", "queued", "enqueue")
def test_a_plain_call_is_ready_at_once(room: Room) -> None:
    id = "default.0123456789abcdef0123"
    assert room.where(id) == "none"
    room.enqueue(id=id)
    assert room.where(id) == "queued"
    assert room.lists()[room.key("QUEUE", "default")] == [id]


@arrow("none", "scheduled", "enqueue")
@pytest.mark.parametrize("options", [{"delay": 60_000}, {"due": 99_999_999_999_999}])
def test_a_delayed_call_waits_for_its_time(room: Room, options: dict[str, Any]) -> None:
    id = room.enqueue(**options)
    assert room.where(id) == "scheduled"
    assert not room.lists().get(room.key("QUEUE", "default"))


@pytest.mark.parametrize("due", [0, 1, 1_000_000])
def test_a_time_in_the_past_is_now(room: Room, due: int) -> None:
    assert room.where(room.enqueue(due=due)) == "queued"


@pytest.mark.parametrize(("priority", "level"), [(2, "high"), (1, "default"), (0, "low")])
@pytest.mark.parametrize("options", [{}, {"expires_in": 60_000}])
def test_it_waits_in_the_list_of_its_priority(room: Room, priority: int, level: str, options: dict[str, Any]) -> None:
    id = room.enqueue(priority=priority, **options)
    assert room.lists()[room.key("QUEUE", level)] == [id]


def test_the_brokers_clock_writes_when_it_was_enqueued(room: Room) -> None:
    before = room.now_ms()
    head = room.head(room.enqueue())
    assert before <= head.created_ms <= room.now_ms()
    assert head.expires_ms == 0


def test_the_deadline_counts_from_the_brokers_clock(room: Room) -> None:
    head = room.head(room.enqueue(expires_in=5000))
    assert head.expires_ms == head.created_ms + 5000


@pytest.mark.parametrize("state", states.all_but("none"))
def test_sent_again_it_changes_nothing(room: Room, state: str) -> None:
    """A reply lost on the wire: whatever became of the first copy meanwhile, the second one is none."""
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert room.send(id) == ["duplicate"]
    assert room.snapshot() == before


@pytest.mark.parametrize("state", ["queued", "scheduled", "active"])
def test_a_given_id_that_is_alive_is_the_same_task(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert room.send(id, token="another call") == ["duplicate"]
    assert room.snapshot() == before


@pytest.mark.parametrize("state", ["none", "completed", "cancelled", "expired"])
def test_a_given_id_that_is_over_begins_a_new_life(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    assert room.send(id, token="another call") == ["created"]
    assert room.where(id) == "queued"
    assert room.result(id) == []
    assert room.attempts(id) == []


@arrow("dead", "queued", "enqueue")
def test_a_given_id_that_is_dead_is_replaced(room: Room) -> None:
    id = states.dead(room)
    assert room.where(id) == "dead"
    assert room.send(id, token="another call") == ["created"]
    assert room.where(id) == "queued"
    assert room.redis.zcard(room.key("DEAD_LETTERS")) == 0


@arrow("dead", "scheduled", "enqueue")
def test_a_given_id_that_is_dead_is_replaced_by_a_later_one(room: Room) -> None:
    id = states.dead(room)
    assert room.send(id, token="another call", delay=60_000) == ["created"]
    assert room.where(id) == "scheduled"
    assert room.redis.zcard(room.key("DEAD_LETTERS")) == 0


def test_the_same_call_of_a_given_id_is_recognized_after_its_end(room: Room) -> None:
    """The first copy has already completed when its lost reply makes the producer send it again."""
    worker = room.register()
    assert room.send("order-17", token="t1") == ["created"]
    room.step(worker, 0, [completed(room.hold(worker, "order-17"))])
    assert room.send("order-17", token="t1") == ["duplicate"]
    assert room.send("order-17", token="t2") == ["created"]


def test_a_cancelled_id_that_is_still_in_a_list_lives_again_under_a_new_generation(room: Room) -> None:
    """Else the fetch of its ghost would start the new task in the old one's place, and its own entry again."""
    room.enqueue(id="order-17", token="t1", priority=0)
    room.enqueue(id="other", token="t1", priority=0)
    room.cancel("order-17")
    room.enqueue(id="order-17", token="t2", priority=0)
    assert room.lists()[room.key("QUEUE", "low")] == ["order-17", "other", room.entry_of("order-17")]
    assert room.entry_of("order-17") != "order-17"
    worker = room.register()
    got = [entry.decode() for entry in room.step(worker).entries]
    assert got == ["other", room.entry_of("order-17")]


def test_many_in_one_call(room: Room) -> None:
    pieces = [
        room.enqueue_bytes(message.new_id("default"), "job", priority, 600, b"\x91\x90") for priority in (0, 1, 2, 1)
    ]
    front = script("enqueue").command_head(room.prefix.encode(), 20)
    items = b"".join(piece[len(script("enqueue").command_head(room.prefix.encode(), 5)) :] for piece in pieces)
    assert room.wire.run_script(script("enqueue"), front + items) == [b"created"] * 4
    assert [len(room.lists()[room.key("QUEUE", level)]) for level in ("high", "default", "low")] == [1, 2, 1]
    assert room.ledger() == {"enqueued job": 4}


def test_a_limited_type_goes_into_its_lane_before_any_worker_knows_it(room: Room) -> None:
    id = room.enqueue("mail", limit="100000 1")
    assert room.lists()[room.key("LANE", "default:mail")] == [id]
    assert room.where(id) == "queued"


def test_a_full_broker_refuses_it_whole(room: Room) -> None:
    before = room.snapshot()
    try:
        room.redis.config_set("maxmemory", 1)
        with pytest.raises(ServerError, match=r"^OOM"):
            room.send("default.0123456789abcdef0123")
    finally:
        room.redis.config_set("maxmemory", 0)
    assert room.snapshot() == before


def test_the_ledger_is_bounded(room: Room) -> None:
    pipeline = room.redis.pipeline()
    for number in range(10_000):
        pipeline.hset(room.key("LEDGER"), f"enqueued t{number}", 0)
    pipeline.execute()
    room.enqueue("one-too-many")
    room.enqueue("one-too-many", expires_in=1000)
    assert room.ledger()["enqueued (other)"] == 2
    assert "enqueued one-too-many" not in room.ledger()
