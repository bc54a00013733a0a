"""A budget is parked: nobody takes from it before that is over."""

from __future__ import annotations

from distq.broker import budgets
from tests.broker.test_acquire import HOURLY, acquire
from tests.support.room import Room


def park(room: Room, ms: int, key: str = "") -> None:
    room.run(budgets.park_budget(room.prefix, "api", key, ms))


def test_nobody_takes_from_it(room: Room) -> None:
    park(room, 60_000)
    assert 50 < acquire(room, (HOURLY, 1)) <= 60.1
    assert acquire(room, (HOURLY, 0)) > 50, "whatever it costs"
    room.pass_time(60_002)
    assert acquire(room, (HOURLY, 1)) == 0


def test_the_longest_park_holds(room: Room) -> None:
    park(room, 60_000)
    park(room, 1000)
    assert acquire(room, (HOURLY, 1)) > 50
    park(room, 90_000)
    assert acquire(room, (HOURLY, 1)) > 80


def test_what_is_not_there_before_the_park_is_over_takes_longer(room: Room) -> None:
    acquire(room, (HOURLY, 1))
    park(room, 1000)
    assert acquire(room, (HOURLY, 1)) > 3000


def test_other_keys_go_on(room: Room) -> None:
    park(room, 60_000, "a")
    assert acquire(room, (HOURLY, 1), key="a") > 50
    assert acquire(room, (HOURLY, 1), key="b") == 0


def test_it_leaves_nothing(room: Room) -> None:
    park(room, 60_000)
    [place] = room.all_keys()
    assert 0 < room.redis.pttl(place) <= 60_002
