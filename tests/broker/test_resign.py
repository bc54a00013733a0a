"""resign: a supervisor leaves."""

from __future__ import annotations

from distq.broker import together, verbs
from tests.support.room import Room


def test_the_keepers_office_goes_to_another_host_which_is_told(room: Room) -> None:
    room.run(together.renew([room.prefix], "other", 15_000, "d", [], []))
    room.tick("leaving")
    assert room.run(verbs.resign(room.prefix, "leaving")) == "other"
    assert room.redis.zrange(room.key("CONTROL", "other"), 0, -1) == [b"tick"]
    assert room.tick("other").is_keeper


def test_the_last_one_leaves_nobody(room: Room) -> None:
    room.tick("leaving")
    assert room.run(verbs.resign(room.prefix, "leaving")) == ""
    assert room.redis.hget(room.key("META"), "keeper") is None


def test_who_is_not_the_keeper_takes_nobodys_office(room: Room) -> None:
    room.tick("keeper")
    room.run(together.renew([room.prefix], "leaving", 15_000, "d", [], []))
    assert room.run(verbs.resign(room.prefix, "leaving")) == ""
    assert room.redis.hget(room.key("META"), "keeper") == b"keeper"
    assert room.redis.zscore(room.key("HOSTS"), "leaving") is None
