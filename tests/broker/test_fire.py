"""fire: a tick is advanced and enqueued at one instant, once, whoever tries how often."""

from __future__ import annotations

import pytest

from distq import message
from distq.broker import schedules
from distq.codec import Codec
from tests.support import ticking
from tests.support.arrows import arrow
from tests.support.room import Room, completed


@arrow("none", "queued", "fire")
def test_a_tick_is_one_task_whoever_fires_it_how_often(room: Room) -> None:
    ticking.create(room)
    record, id = ticking.come(room), message.new_id("default")
    fires = ticking.due(record, id)
    assert ticking.fire(room, fires).words == ["fired"]
    assert room.where(id) == "queued"
    again = ticking.due(record, message.new_id("default"))
    assert ticking.fire(room, fires, again, host="other").words == ["moved", "moved"]
    assert room.ledger() == {"enqueued job": 1}
    after = ticking.find(room)
    assert (after.next_ms, after.last) == (fires.next_ms, id)
    assert ticking.words(room) == ["fired"]


@arrow("none", "scheduled", "fire")
def test_with_jitter_its_task_starts_later(room: Room) -> None:
    ticking.create(room)
    record, id = ticking.come(room), message.new_id("default")
    ticking.fire(room, ticking.due(record, id, jitter=60_000))
    assert room.where(id) == "scheduled"
    assert room.look(id).due_ms == record.next_ms + 60_000


def test_a_task_knows_its_tick_and_its_schedule(room: Room) -> None:
    ticking.create(room)
    record, id = ticking.come(room), message.new_id("default")
    ticking.fire(room, ticking.due(record, id))
    assert Codec().unpack_call(room.head(id).body)[2] == {"schedule": "it", "tick": float(record.next_ms)}


def test_no_tick_fires_before_its_time(room: Room) -> None:
    record = ticking.create(room)
    assert ticking.fire(room, ticking.due(record, "default.x")).words == ["early"]
    assert ticking.find(room) == record
    assert room.ledger() == {}


def test_a_fire_that_was_computed_before_a_change_is_none(room: Room) -> None:
    ticking.create(room)
    record = ticking.come(room)
    assert ticking.change(room, "it", "jitter", 5) == "ok"
    assert ticking.fire(room, ticking.due(record, "default.x")).words == ["moved"]
    paused = ticking.find(room)
    assert ticking.change(room, "it", "paused", "1") == "ok"
    assert ticking.fire(room, ticking.due(paused, "default.x")).words == ["moved"]
    assert ticking.fire(room, ticking.due(paused._replace(name="other"), "default.x")).words == ["unknown"]
    assert room.ledger() == {}


def test_several_ticks_that_are_late_are_as_many_tasks_and_none_leaves_a_note(room: Room) -> None:
    ticking.create(room, when="@every 1m")
    record = ticking.come(room)
    room.pass_time(120_000)
    record = ticking.find(room)
    ids = [message.new_id("default") for _ in range(3)]
    tasks = [(id, record.next_ms + 60_000 * number, 0) for number, id in enumerate(ids)]
    late = schedules.Fire("it", record.next_ms, record.edition, record.next_ms + 180_000, tasks)
    assert ticking.fire(room, late).words == ["fired"]
    assert room.lists()[room.key("QUEUE", "default")] == ids
    record = ticking.come(room)
    ticking.fire(room, ticking.due(record))
    assert ticking.words(room) == ["missed", "fired", "fired", "fired"]


def test_the_next_tick_of_any_schedule_is_told_and_the_keeper_is_called(room: Room) -> None:
    room.tick("keeper")
    ticking.create(room, "it")
    assert room.redis.zrange(room.key("CONTROL", "keeper"), 0, -1) == [b"tick"]
    room.redis.delete(room.key("CONTROL", "keeper"))
    record = ticking.come(room)
    firing = ticking.fire(room, ticking.due(record, "default.x"), host="keeper")
    assert firing.next_ms == ticking.find(room).next_ms
    assert not room.redis.exists(room.key("CONTROL", "keeper")), "it was told by the reply"
    assert room.redis.hget(room.key("META"), "armed") == str(firing.next_ms).encode()
    record = ticking.come(room)
    ticking.fire(room, ticking.due(record, "default.y"), host="other")
    assert room.redis.zrange(room.key("CONTROL", "keeper"), 0, -1) == [b"tick"]


def test_what_else_comes_in_the_queue_is_told_when_schedules_are_fired(room: Room) -> None:
    """The next token of a rate, say: else that would wait for the next tick."""
    worker = room.register(["mail"], {"mail": "10000000 1"})
    ticking.create(room)
    record = ticking.come(room)
    for _ in range(2):
        room.enqueue("mail", limit="10000000 1")
    room.step(worker)
    assert room.tick().due
    firing = ticking.fire(room, ticking.due(record, "default.x"))
    assert firing.next_ms is not None
    assert 8000 <= firing.next_ms - firing.now_ms <= 10_001


def test_the_keeper_is_told_what_is_due_and_comes_again_after_that(room: Room) -> None:
    ticking.create(room, "it", when="@every 1h", missed="all")
    wait_ms = room.tick().wait_ms
    assert wait_ms is not None
    assert not room.tick().due
    record = ticking.come(room)
    tick = room.tick()
    [due] = tick.due
    assert (due.name, due.tick_ms, due.when, due.missed, due.edition) == ("it", record.next_ms, "@every 1h", "all", "1")
    assert tick.wait_ms is None, "nothing else comes"
    assert room.tick().due == (due,), "it is due until it is fired"


@pytest.mark.parametrize("raw", [{"tick": "x"}, {"tick": "1e3"}, {"tick": "9" * 30}, {"jitter": "soon"}, {"when": ""}])
def test_what_somebody_else_has_written_there_is_told_to_nobody(room: Room, raw: dict[str, str]) -> None:
    ticking.create(room, "good")
    ticking.create(room, "bad")
    ticking.come(room, "good")
    key = room.key("SCHEDULE", "bad")
    if raw == {"when": ""}:
        room.redis.hdel(key, "when")
    else:
        room.redis.hset(key, mapping=raw)
    assert [due.name for due in room.tick().due] == ["good"]
    assert room.redis.zrange(room.key("FIRES"), 0, -1) == [b"good"]
    room.run(schedules.forget(room.prefix, "bad"))


def test_one_that_is_said_to_be_due_too_early_waits_for_its_tick(room: Room) -> None:
    record = ticking.create(room)
    room.redis.zadd(room.key("FIRES"), {"it": 1})
    [due] = room.tick().due
    assert due.tick_ms == record.next_ms
    firing = ticking.fire(room, ticking.due(record, "default.x"))
    assert (firing.words, firing.next_ms) == (["early"], record.next_ms)
    room.tick()


def test_a_keeper_that_lets_a_tick_pass_is_none(room: Room) -> None:
    ticking.create(room, when="@every 5s")
    assert room.tick("one").is_keeper
    ticking.come(room)
    room.pass_time(1000)
    assert not room.tick("two").is_keeper
    room.pass_time(1500)
    assert room.tick("two").due
    assert room.tick("two").is_keeper


# -- overlap --------------------------------------------------------------------------------------------------------


def test_skip_makes_none_while_the_one_before_is_not_done(room: Room) -> None:
    ticking.create(room, overlap="skip")
    first = ticking.tick(room)
    worker = room.register()
    second = ticking.tick(room)
    assert room.where(second) == "none"
    entry = room.hold(worker, first)
    third = ticking.tick(room)
    assert room.where(third) == "none"
    room.step(worker, 0, [completed(entry)])
    assert room.where(ticking.tick(room)) == "queued"
    assert ticking.words(room) == ["fired", "skipped", "skipped", "fired"]


@arrow("queued", "cancelled", "fire")
@arrow("scheduled", "cancelled", "fire")
@pytest.mark.parametrize("jitter", [0, 86_000_000])
def test_replace_ends_the_one_before(room: Room, jitter: int) -> None:
    ticking.create(room, overlap="replace")
    record, first = ticking.come(room), message.new_id("default")
    ticking.fire(room, ticking.due(record, first, jitter=jitter))
    assert room.where(first) == ("scheduled" if jitter else "queued")
    second = ticking.tick(room)
    assert (room.where(first), room.where(second)) == ("cancelled", "queued")
    assert ticking.words(room) == ["replaced", "fired"]


def test_replace_orders_what_runs_to_end(room: Room) -> None:
    ticking.create(room, overlap="replace")
    first, worker = ticking.tick(room), room.register()
    room.hold(worker, first)
    assert room.where(ticking.tick(room)) == "queued"
    assert room.where(first) == "active"
    assert room.redis.get(room.key("CANCEL", first)) == b"schedule"
    [order] = room.redis.zrange(room.key("CONTROL", "host"), 0, -1)
    assert order.startswith(b"cancel running ")


def test_queue_makes_one_more(room: Room) -> None:
    ticking.create(room, overlap="queue")
    first, second = ticking.tick(room), ticking.tick(room)
    assert (room.where(first), room.where(second)) == ("queued", "queued")


# -- as other calls -------------------------------------------------------------------------------------------------


def test_what_holds_for_calls_of_the_type_holds_for_ticks(room: Room) -> None:
    ticking.create(room, "limited", type="mail", limit="1000000 1", priority=2)
    id = ticking.tick(room, "limited")
    assert room.redis.lrange(room.key("LANE", "high:mail"), 0, -1) == [id.encode()]
    ticking.create(room, "short", expires_in=1000)
    id = ticking.tick(room, "short")
    room.pass_time(1001)
    room.tick()
    assert room.where(id) == "expired"


def test_by_hand_a_task_comes_at_once_and_the_next_tick_stays(room: Room) -> None:
    record = ticking.create(room, overlap="skip")
    by_hand = schedules.Fire("it", 0, "", 0, [(message.new_id("default"), room.now_ms(), 0)])
    for _ in range(2):  # a reply may be lost
        assert ticking.fire(room, by_hand, host="").words == ["fired"]
    assert room.ledger() == {"enqueued job": 1}
    assert ticking.find(room).next_ms == record.next_ms
    ticking.change(room, "it", "paused", "1")
    assert ticking.fire(room, by_hand._replace(tasks=[(message.new_id("default"), 1, 0)])).words == ["fired"]
    assert room.ledger() == {"enqueued job": 2}
    assert ticking.words(room) == ["triggered", "triggered"]


def test_a_full_broker_refuses_a_tick_as_a_whole(room: Room) -> None:
    import redis

    ticking.create(room)
    record = ticking.come(room)
    before = room.snapshot()
    room.redis.config_set("maxmemory", 1)
    try:
        command = schedules.fire(room.prefix, "host", [ticking.due(record, "default.x")])
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            room.redis.eval(command.verb.text, 1, room.prefix, "host", *_arguments(command.data))
    finally:
        room.redis.config_set("maxmemory", 0)
    assert room.snapshot() == before


def _arguments(data: bytes) -> list[bytes]:
    """The last one of a call in wire form."""
    head, _, rest = data.rpartition(b"\r\n$")
    assert head
    return [rest.split(b"\r\n", 1)[1].removesuffix(b"\r\n")]


def test_only_the_last_ticks_are_remembered(room: Room) -> None:
    ticking.create(room, when="@every 1s")
    for _ in range(25):
        ticking.tick(room)
    assert len(ticking.words(room)) == 20
    assert room.redis.ttl(room.key("FIRED", "it")) > 300 * 86_400
