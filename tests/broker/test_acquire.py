"""Budgets for those who are no tasks: what the script takes, and when it says that it can be taken."""

from __future__ import annotations

from distq.broker import budgets
from tests.support.room import Room

HOURLY, TWICE = "3600000000 1", "3600000000 2"
HOUR_S = 3600.0


def acquire(room: Room, *wanted: tuple[str, float], name: str = "api", key: str = "") -> float:
    return room.run(budgets.acquire(room.prefix, name, key, wanted))


def test_it_takes_what_is_there_and_says_when_there_is_more(room: Room) -> None:
    assert acquire(room, (TWICE, 1)) == 0
    assert acquire(room, (TWICE, 1)) == 0
    assert HOUR_S - 60 < acquire(room, (TWICE, 1)) <= HOUR_S + 1
    room.pass_time(1000 * round(HOUR_S) + 2)
    assert acquire(room, (TWICE, 1)) == 0
    assert acquire(room, (TWICE, 2)) > HOUR_S, "two of them take twice as long"


def test_of_several_amounts_all_or_nothing_is_taken(room: Room) -> None:
    assert acquire(room, (TWICE, 1), (HOURLY, 1)) == 0
    before = room.snapshot()
    assert acquire(room, (TWICE, 1), (HOURLY, 1)) > 0
    assert room.snapshot() == before
    assert acquire(room, (TWICE, 1), (HOURLY, 0)) == 0, "a cost of 0 needs nothing"
    assert acquire(room, (TWICE, 0), (HOURLY, 0)) == 0
    assert acquire(room, (TWICE, 1), (HOURLY, 0)) > 0


def test_each_key_has_its_own(room: Room) -> None:
    assert acquire(room, (HOURLY, 1), key="a") == 0
    assert acquire(room, (HOURLY, 1), key="a") > 0
    assert acquire(room, (HOURLY, 1), key="b") == 0
    assert acquire(room, (HOURLY, 1), name="other", key="a") == 0


def test_more_than_it_can_ever_hold_is_all_of_it(room: Room) -> None:
    """Who declared it smaller meanwhile must not make others wait for ever."""
    assert acquire(room, (TWICE, 500)) == 0
    assert HOUR_S < acquire(room, (TWICE, 500)) <= 2 * HOUR_S + 1


def test_what_is_full_again_leaves_nothing(room: Room) -> None:
    acquire(room, ("1000000 100", 5), key="a")
    [bucket] = room.all_keys()
    assert bucket == room.key("BUCKET", "api!1 a")
    assert 0 < room.redis.pttl(bucket) <= 5001
