"""note: what people have done, of which the newest are kept."""

from __future__ import annotations

import pytest

from distq import Distq
from distq.broker import actions
from tests.support.room import Room


def noted(room: Room, number: int) -> list[tuple[str, str, str]]:
    return [one[1:] for one in actions.newest(Distq(room.app, room.url).broker, room.queue, number)]


def test_who_has_done_what_is_kept_for_a_time(room: Room) -> None:
    command = actions.note(room.prefix, "boss", "POST pauses", '{"type": "email"}')
    for _ in range(2):  # its answer was lost
        assert room.run(command) == "noted"
    assert noted(room, 10) == [("boss", "POST pauses", '{"type": "email"}')]
    assert 0 < room.redis.pttl(room.key("ACTIONS")) <= actions.KEPT_MS


def test_of_many_the_newest_are_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "KEPT", 3)
    for number in range(5):
        for record, at in room.redis.zrange(room.key("ACTIONS"), 0, -1, withscores=True):
            room.redis.zadd(room.key("ACTIONS"), {record: at - 1})
        room.run(actions.note(room.prefix, "boss", f"POST {number}", ""))
    assert [what for _, what, _ in noted(room, 10)] == ["POST 4", "POST 3", "POST 2"]


def test_what_is_long_is_cut_and_what_is_damaged_is_shown_as_such(room: Room) -> None:
    room.run(actions.note(room.prefix, "b" * 10_000, "POST x", "y" * 10_000))
    room.redis.zadd(room.key("ACTIONS"), {b"\xc1": room.now_ms()})
    assert sorted(map(len, noted(room, 10)[0] + noted(room, 10)[1])) == [1, 1, 1, 6, 500, 500]
