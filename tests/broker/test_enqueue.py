"""enqueue: none -> queued | scheduled, and what an id meets that was there before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from distq import message
from distq.broker.connect import ServerError
from distq.broker.scripts import script
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, completed, verdict


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


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired", "dead", "queued"])
def test_a_given_id_that_may_live_once_begins_no_new_life(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert room.send(id, token="another call", once=True) == ["duplicate"]
    assert room.snapshot() == before
    assert room.send("other", token="another call", once=True) == ["created"]


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
    before = room.snapshot()
    assert room.send("order-17", token="t1") == ["created"]
    assert room.snapshot() == before
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


def many(room: Room, ids: Sequence[str], **options: Any) -> list[str]:
    """The words for several messages in one call."""
    data = room.enqueue_many_bytes(ids, **options)
    return [word.decode() for word in room.wire.run_script(script("enqueue"), data)]


OPTIONS: list[dict[str, Any]] = [{}, {"expires_in": 60_000}, {"delay": 60_000}, {"limit": "100000 1"}]
IDS = [f"default.{number:020x}" for number in range(7)]


@pytest.mark.parametrize("options", OPTIONS)
def test_many_in_one_call_wait_in_their_order(room: Room, options: dict[str, Any]) -> None:
    assert many(room, IDS, **options) in (["created"], ["created"] * 7)
    state = "scheduled" if "delay" in options else "queued"
    assert [room.where(id) for id in IDS] == [state] * 7
    assert [entries for entries in room.lists().values() if entries] == ([] if "delay" in options else [IDS])
    assert room.ledger() == {"enqueued job": 7}


@pytest.mark.parametrize("options", OPTIONS)
def test_one_of_many_is_the_same_as_one_alone(room: Room, options: dict[str, Any]) -> None:
    room.enqueue(id=IDS[0], **options)
    many(room, IDS[1:], **options)
    alone, among = (room.head(id)._replace(created_ms=0, expires_ms=0) for id in IDS[:2])
    assert alone == among
    assert (room.head(IDS[0]).expires_ms > 0) == (room.head(IDS[1]).expires_ms > 0) == ("expires_in" in options)


@pytest.mark.parametrize("options", OPTIONS)
def test_many_sent_again_change_nothing(room: Room, options: dict[str, Any]) -> None:
    many(room, IDS, **options)
    before = room.snapshot()
    assert many(room, IDS, **options) == ["duplicate"] * 7
    assert room.snapshot() == before


@pytest.mark.parametrize("ended", [IDS, IDS[:1], IDS[-1:], IDS[3:4], IDS[1:], IDS[:-1], [IDS[0], IDS[-1]]])
def test_many_sent_again_are_recognized_whatever_became_of_them(room: Room, ended: list[str]) -> None:
    worker = room.register()
    many(room, IDS)
    held = room.step(worker).entries
    assert [entry.decode() for entry in held] == IDS
    room.step(worker, 0, [completed(id) for id in ended])
    before = room.snapshot()
    assert many(room, IDS) == ["duplicate"] * 7
    assert room.snapshot() == before


@pytest.mark.parametrize("known", [IDS[:1], IDS[-1:], IDS[3:4], IDS[:-1], IDS[1:]])
def test_of_many_those_are_new_that_are_not_known(room: Room, known: list[str]) -> None:
    """No release sends such a call. Whoever puts other messages into a call that he sends again loses nothing."""
    many(room, known)
    assert many(room, IDS) == ["duplicate" if id in known else "created" for id in IDS]
    assert [room.where(id) for id in IDS] == ["queued"] * 7
    assert room.ledger() == {"enqueued job": 7}


@pytest.mark.parametrize("options", [*OPTIONS, {"token": "t1"}])
def test_an_id_twice_in_one_call_is_one_task(room: Room, options: dict[str, Any]) -> None:
    twice = [IDS[0], IDS[1], IDS[0], IDS[2], IDS[0]]
    assert many(room, twice, **options) == ["created", "created", "duplicate", "created", "duplicate"]
    assert len(room.places(IDS[0])) == 1
    assert room.ledger() == {"enqueued job": 3}


def test_many_given_ids_in_one_call(room: Room) -> None:
    """As when coroutines call at the same time: one token for all."""
    room.enqueue(id="b", token="t0")
    assert many(room, ["a", "b", "c"], token="t1") == ["created", "duplicate", "created"]
    worker = room.register()
    room.step(worker)
    room.step(worker, 0, [completed(id) for id in "abc"])
    before = room.snapshot()
    assert many(room, ["a", "c", "a"], token="t1") == ["created", "created", "duplicate"]
    assert room.snapshot() == before
    assert many(room, ["a", "b", "c"], token="t2") == ["created"] * 3


def test_many_of_a_parked_type_wait_for_a_worker_that_knows_it(room: Room) -> None:
    worker = room.register(["other"])
    first = room.enqueue("new")
    room.hold(worker, first)
    room.step(worker, 0, [verdict(first, "park", type="new", number=60_000)])
    assert set(many(room, IDS, type="new")) == {"created"}
    assert room.lists()[room.key("LANE", "default:new")] == [first, *IDS]
    deadlines = room.redis.zrange(room.key("DEADLINES"), 0, -1)
    assert {entry.decode() for entry in deadlines} == {first, *IDS}


def test_as_many_as_a_client_may_send(room: Room) -> None:
    ids = message.new_ids("default", 1000)
    assert many(room, ids) == ["created"]
    assert room.lists()[room.key("QUEUE", "default")] == ids
    assert many(room, ids) == ["duplicate"] * 1000
    assert many(room, message.new_ids("default", 1000), delay=1000) == ["created"] * 1000


def test_a_limited_type_goes_into_its_lane_before_any_worker_knows_it(room: Room) -> None:
    id = room.enqueue("mail", limit="100000 1")
    assert room.lists()[room.key("LANE", "default:mail")] == [id]
    assert room.where(id) == "queued"


@pytest.mark.parametrize("number", [1, 7])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_full_broker_refuses_it_whole(room: Room, number: int, options: dict[str, Any]) -> None:
    before = room.snapshot()
    try:
        room.redis.config_set("maxmemory", 1)
        with pytest.raises(ServerError, match=r"^OOM"):
            many(room, IDS[:number], **options)
    finally:
        room.redis.config_set("maxmemory", 0)
    assert room.snapshot() == before


def test_the_ledger_is_bounded(room: Room) -> None:
    pipeline = room.redis.pipeline()
    for number in range(5_000):
        pipeline.hset(room.key("LEDGER"), f"enqueued t{number}", 0)
    pipeline.execute()
    room.enqueue("one-too-many")
    room.enqueue("one-too-many", expires_in=1000)
    many(room, IDS, type="one-too-many")
    assert room.ledger()["enqueued (other)"] == 9
    assert "enqueued one-too-many" not in room.ledger()


def test_a_full_ledger_counts_the_endings_of_a_type_where_its_beginnings_are(room: Room) -> None:
    known = room.enqueue("known")
    pipeline = room.redis.pipeline()
    for number in range(5_000):
        pipeline.hset(room.key("LEDGER"), f"enqueued t{number}", 0)
    pipeline.execute()
    room.cancel(known)
    room.cancel(room.enqueue("new"))
    counted = {field: number for field, number in room.ledger().items() if number}
    assert counted == {"enqueued known": 1, "cancelled known": 1, "enqueued (other)": 1, "cancelled (other)": 1}
