"""purge_dead: dead -> none."""

from __future__ import annotations

import pytest

from distq.broker import together, verbs
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import Room

MONTH_MS = 30 * 86_400_000


@arrow("dead", "none", "purge_dead")
def test_it_is_forgotten_with_all_that_was_kept(room: Room) -> None:
    id = states.dead(room)
    assert room.run(verbs.purge_dead(room.prefix, [id])) == 1
    assert room.where(id) == "none"
    assert room.attempts(id) == []


@pytest.mark.parametrize("state", states.all_but("dead"))
def test_anything_else_stays_as_it_is(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    before = room.snapshot()
    assert room.run(verbs.purge_dead(room.prefix, [id])) == 0
    assert room.snapshot() == before


def test_dead_letters_end_by_age(room: Room) -> None:
    old, young = states.dead(room), states.dead(room)
    died = room.redis.zscore(room.key("DEAD_LETTERS"), old)
    room.redis.zadd(room.key("DEAD_LETTERS"), {old: died - MONTH_MS - 1000})
    room.run(together.renew([room.prefix], "host", 15_000, "d", [], []))
    assert [room.redis.hexists(room.key("DEAD"), id) for id in (old, young)] == [False, True]
    assert room.attempts(old) == []


def test_dead_letters_end_by_number(room: Room) -> None:
    now = room.now_ms()
    pipeline = room.redis.pipeline()
    for number in range(100_050):
        pipeline.zadd(room.key("DEAD_LETTERS"), {f"d{number}": now - 1_000_000 + number})
        pipeline.hset(room.key("DEAD"), f"d{number}", "x")
        if number % 10_000 == 0:
            pipeline.execute()
    pipeline.execute()
    room.run(together.renew([room.prefix], "host", 15_000, "d", [], []))
    assert room.redis.zcard(room.key("DEAD_LETTERS")) == room.redis.hlen(room.key("DEAD")) == 100_000
    assert not room.redis.hexists(room.key("DEAD"), "d0")
