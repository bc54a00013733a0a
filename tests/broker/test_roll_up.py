"""roll_up: a host tells how many attempts of which types have ended, and how long they took."""

from __future__ import annotations

import pytest

from distq.broker.connect import ServerError
from distq.broker.history import RANGES, history, roll_up
from distq.run_times import RunTimes
from tests.support.room import Room

QUICK = RunTimes((2, 1, 0), (3, *[0] * 15), 0.006)
SLOW = RunTimes((0, 0, 1), (*[0] * 15, 1), 700.5)


def told(room: Room, range: str = "5m") -> dict[str, RunTimes]:
    """By type, over all slots: a slot may end in between."""
    found: dict[str, RunTimes] = {}
    for runs in room.run(history(room.prefix, range)).runs.values():
        for type, times in runs.items():
            found[type] = found.get(type, RunTimes()).plus(times)
    return found


def test_what_hosts_tell_is_added_up_in_each_range_and_ends_by_itself(room: Room) -> None:
    assert room.run(roll_up(room.prefix, "a", 1, [("job", QUICK), ("mail", SLOW)])) == b"ok"
    assert room.run(roll_up(room.prefix, "b", 1, [("job", QUICK)])) == b"ok"
    assert room.run(roll_up(room.prefix, "a", 2, [("job", SLOW)])) == b"ok"
    for range, seconds in RANGES.items():
        assert told(room, range) == {"job": QUICK.plus(QUICK).plus(SLOW), "mail": SLOW}
        for name in room.redis.keys(f"*:history:{seconds}:*"):
            assert seconds <= room.redis.ttl(name) <= 2 * seconds
    assert all(room.redis.ttl(room.key("TOLD", host)) > 0 for host in "ab")


def test_the_same_call_again_adds_nothing(room: Room) -> None:
    for number, word in ((1, b"ok"), (1, b"again"), (2, b"ok"), (1, b"again")):
        assert room.run(roll_up(room.prefix, "a", number, [("job", QUICK)])) == word
    assert told(room) == {"job": QUICK.plus(QUICK)}


def test_a_slot_tells_a_hundred_types_apart_and_counts_the_others_together(room: Room) -> None:
    for number in range(4):
        some = [(f"type-{number}-{n}", QUICK) for n in range(50)]
        room.run(roll_up(room.prefix, "a", number + 1, [*some, ("(other)", SLOW)]))
    found = told(room, "7d")
    assert len(found) <= 201  # of two slots, if one ended in between
    assert found["(other)"].statuses[2] == 4
    assert sum(times.number for times in found.values()) == 4 * (50 * 3 + 1)


def test_a_key_that_somebody_broke_is_an_error_that_writes_nothing(room: Room) -> None:
    room.run(roll_up(room.prefix, "a", 1, [("job", QUICK)]))
    (name,) = room.redis.keys("*:history:604800:*")
    for field in room.redis.hkeys(name):
        room.redis.hset(name, field, b"\xc1")
    before = room.snapshot()
    with pytest.raises(ServerError):
        room.run(roll_up(room.prefix, "a", 2, [("job", QUICK)]))
    assert room.snapshot() == before
    assert room.run(history(room.prefix, "7d")).runs == {}
