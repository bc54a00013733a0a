"""schedules: reads what is there, with the broker's time."""

from __future__ import annotations

from distq.broker import schedules
from tests.support import ticking
from tests.support.room import Room


def test_one_and_all_are_read_with_the_time(room: Room) -> None:
    for number in range(500):
        ticking.create(room, f"s{number}")
    cursor, found = "0", set()
    for _ in range(500):
        cursor, now_ms, page = room.run(schedules.page(room.prefix, cursor))
        found |= {record.name for record in page}
        if cursor == "0":
            break
    assert found == {f"s{number}" for number in range(500)}
    assert abs(now_ms - room.now_ms()) < 60_000
    _, _, [one] = room.run(schedules.one(room.prefix, "s7"))
    assert (one.name, one.queue, one.definition) == ("s7", "default", ticking.definition())
    assert room.run(schedules.one(room.prefix, "no"))[2] == []
