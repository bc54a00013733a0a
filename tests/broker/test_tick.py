"""tick: the keeper's script makes due what is due, and says when to come again."""

from __future__ import annotations

import pytest

from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room, verdict


@arrow("scheduled", "queued", "tick")
def test_what_is_due_becomes_ready_and_not_before(room: Room) -> None:
    id = room.enqueue(delay=1000)
    tick = room.tick()
    assert room.where(id) == "scheduled"
    assert tick.is_keeper
    assert tick.wait_ms is not None
    assert 900 <= tick.wait_ms <= 1001
    room.pass_time(1002)
    assert room.tick().wait_ms is None
    assert room.where(id) == "queued"


@arrow("scheduled", "expired", "tick")
@arrow("queued", "expired", "tick")
@pytest.mark.parametrize(("delay", "before"), [(5000, "scheduled"), (0, "queued")])
def test_what_may_not_start_any_more_is_over(room: Room, delay: int, before: str) -> None:
    id = room.enqueue(delay=delay, expires_in=1000)
    assert room.where(id) == before
    room.pass_time(1002)
    room.tick()
    assert room.where(id) == "expired"
    assert room.result(id)[0] == "expired"


@arrow("queued", "dead", "tick")
def test_a_type_that_nobody_knows_waits_a_day_and_not_by_count(room: Room) -> None:
    id = room.enqueue("new")
    for _ in range(5):
        worker = room.register()
        room.step(worker)
        room.step(worker, 0, [verdict(id, "park", type="new", number=86_400_000)])
        room.recover(worker, "left")
    room.pass_time(86_399_000)
    room.tick()
    assert room.where(id) == "queued"
    room.pass_time(2000)
    room.tick()
    assert room.where(id) == "dead"


@pytest.mark.parametrize("limits", [{}, {"new": "3600000000 1"}])
def test_a_type_that_a_worker_knows_by_now_goes_on_waiting(room: Room, limits: dict[str, str]) -> None:
    """Its rate, or what is before it, makes it wait: that is no reason to end it."""
    ids, ignorant = [room.enqueue("new") for _ in range(2)], room.register()
    room.step(ignorant)
    room.step(ignorant, 0, [verdict(id, "park", type="new", number=86_400_000) for id in ids])
    knowing = room.register(["new"], limits)
    assert len(room.step(knowing, 1).entries) == 1
    for _ in range(2):
        room.pass_time(86_400_001)
        room.tick()
        assert room.where(ids[1]) == "queued"
    assert len(room.step(knowing, 1).entries) == 1


def test_there_is_one_keeper(room: Room) -> None:
    assert room.tick("one").is_keeper
    other = room.tick("two")
    assert not other.is_keeper
    assert other.wait_ms is not None
    assert other.wait_ms > 14_000


def test_another_takes_over_when_the_keeper_is_silent_for_a_lease(room: Room) -> None:
    room.tick("one")
    room.pass_time(15_001)
    assert room.tick("two").is_keeper
    assert not room.tick("one").is_keeper


def test_a_keeper_is_told_of_an_earlier_time_and_only_of_an_earlier_one(room: Room) -> None:
    room.enqueue(delay=60_000)
    room.tick("one")
    room.enqueue(delay=90_000)
    assert not room.redis.exists(room.key("CONTROL", "one"))
    room.enqueue(delay=30_000)
    assert room.redis.zrange(room.key("CONTROL", "one"), 0, -1) == [b"tick"]


def test_the_next_token_of_a_limit_is_a_future_time(room: Room) -> None:
    worker = room.register(["mail"], {"mail": "1000000 1"})
    room.enqueue("mail", limit="1000000 1")
    room.enqueue("mail", limit="1000000 1")
    room.step(worker)
    tick = room.tick()
    assert tick.wait_ms is not None
    assert 800 <= tick.wait_ms <= 1001
    assert not room.redis.exists(room.key("WAKE_GROUP", worker.digest))
    room.pass_time(1002)
    room.tick()
    assert room.redis.exists(room.key("WAKE_GROUP", worker.digest))


def test_a_thousand_due_tasks_take_several_calls_and_keep_their_order(room: Room) -> None:
    ids = [room.enqueue(delay=1000 + number) for number in range(1100)]
    room.pass_time(10_000)
    for _ in range(3):
        tick = room.tick()
    assert tick.wait_ms is None
    assert room.lists()[room.key("QUEUE", "default")] == ids


@pytest.mark.parametrize("state", states.all_but())
def test_it_changes_nothing_that_is_not_due(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    room.tick()
    before = room.snapshot()
    room.tick()
    assert room.where(id) == state
    after = room.snapshot()
    for snapshot in (before, after):
        del snapshot[room.key("META")]
    assert after == before


def test_a_clock_that_was_set_back_keeps_nobody_in_office(room: Room) -> None:
    assert room.tick("host").is_keeper
    room.pass_time(-3_600_000)
    assert room.tick("other").is_keeper


def test_a_clock_that_was_set_back_does_not_stop_a_limited_type(room: Room) -> None:
    for _ in range(5):
        room.enqueue("mail", limit="1000000 2")
    worker = room.register(["mail"], {"mail": "1000000 2"})
    assert len(room.step(worker, 10).entries) == 2
    room.pass_time(-3_600_000)
    room.step(worker, 10)
    room.pass_time(1002)
    assert len(room.step(worker, 10).entries) == 1
