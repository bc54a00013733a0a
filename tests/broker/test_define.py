"""define: what a schedule is, by code or at run time; neither undoes what the other says."""

from __future__ import annotations

import pytest

from distq.broker import schedules
from tests.support import ticking
from tests.support.room import Room


def test_a_new_one_waits_for_its_first_tick(room: Room) -> None:
    record = ticking.create(room, when="@every 1h")
    assert 0 < record.next_ms - room.now_ms() <= 3_600_000
    assert room.redis.zscore(room.key("FIRES"), "it") == record.next_ms
    assert room.redis.hget(room.key("META"), "armed") == str(record.next_ms).encode()
    assert (record.is_coded, record.is_paused, record.is_edited, record.is_orphaned) == (False,) * 4


def test_a_name_is_taken_once_and_the_same_call_again_is_no_other(room: Room) -> None:
    made = ticking.definition()
    command = schedules.define(room.prefix, "it", "new", 10**13, [*made.items(), "turn", "t"])
    assert room.run(command) == ("ok", "1")
    assert room.run(command) == ("ok", "1")
    assert ticking.define(room, "it", "new", ticking.definition("@every 2h")) == "exists"
    assert ticking.define(room, "it", "code", ticking.definition("@every 2h")) == "exists"
    assert ticking.find(room).definition == made


def test_a_change_is_of_the_edition_that_was_seen(room: Room) -> None:
    ticking.create(room)
    assert room.run(schedules.define(room.prefix, "it", "1", 10**13, ["jitter", 7])) == ("ok", "2")
    assert room.run(schedules.define(room.prefix, "it", "1", 10**13, ["jitter", 9]))[0] == "stale"
    assert room.run(schedules.define(room.prefix, "no", "1", 10**13, ["jitter", 9]))[0] == "unknown"
    after = ticking.find(room)
    assert (after.definition.jitter, after.next_ms) == (7, 10**13)


def test_a_paused_one_waits_for_nothing_and_goes_on_when_it_is_resumed(room: Room) -> None:
    record = ticking.create(room)
    assert ticking.change(room, "it", "paused", "1") == "ok"
    assert ticking.find(room).is_paused
    assert not room.redis.exists(room.key("FIRES"))
    assert ticking.change(room, "it", "paused", "", tick=record.next_ms + 1) == "ok"
    assert room.redis.zscore(room.key("FIRES"), "it") == record.next_ms + 1


def test_what_the_code_says_anew_keeps_the_next_tick_unless_the_times_change(room: Room) -> None:
    ticking.define(room, "it", "code", ticking.definition("@every 1h"))
    first = ticking.find(room)
    room.pass_time(7_200_000)
    late = ticking.find(room).next_ms
    assert ticking.define(room, "it", "code", ticking.definition("@every 1h", overlap="skip")) == "ok"
    after = ticking.find(room)
    assert (after.next_ms, after.definition.overlap) == (late, "skip")
    assert after.edition != first.edition
    assert ticking.define(room, "it", "code", ticking.definition("@every 2h")) == "ok"
    assert ticking.find(room).next_ms > room.now_ms()


def test_a_change_of_run_time_outlives_what_the_code_says(room: Room) -> None:
    ticking.define(room, "it", "code", ticking.definition("@every 1h"))
    changed = ticking.definition("@every 5h")
    assert ticking.change(room, "it", *changed.items(), "edited", "1", tick=10**13) == "ok"
    newer = ticking.definition("@every 2h", missed="all")
    assert ticking.define(room, "it", "code", newer) == "ok"
    after = ticking.find(room)
    assert (after.definition, after.code, after.is_edited, after.next_ms) == (changed, newer, True, 10**13)


def test_a_pause_outlives_what_the_code_says(room: Room) -> None:
    ticking.define(room, "it", "code", ticking.definition("@every 1h"))
    ticking.change(room, "it", "paused", "1")
    ticking.define(room, "it", "code", ticking.definition("@every 2h"))
    after = ticking.find(room)
    assert (after.is_paused, after.definition.when) == (True, "@every 2h")


@pytest.mark.parametrize(
    "raw", [{b"when": b"x"}, {b"message": b"m", b"jitter": b"x"}, {b"message": b"m", b"code": b"x"}]
)
def test_what_somebody_else_has_written_is_no_schedule_and_hides_none(room: Room, raw: dict[bytes, bytes]) -> None:
    ticking.create(room, "good")
    room.redis.sadd(room.key("SCHEDULES"), "bad")
    room.redis.hset(room.key("SCHEDULE", "bad"), mapping=raw)
    assert [record.name for record in room.run(schedules.page(room.prefix, "0"))[2]] == ["good"]
    room.redis.srem(room.key("SCHEDULES"), "bad")
    room.redis.delete(room.key("SCHEDULE", "bad"))
