"""entries: the names of what is alive, page by page."""

from __future__ import annotations

from distq.broker import verbs
from tests.support.room import Room


def test_all_pages_together_name_each_live_task_once(room: Room) -> None:
    ids = {room.enqueue() for _ in range(1500)}
    over = room.enqueue()
    room.cancel(over)
    found: list[bytes] = []
    cursor = ""
    while cursor != "0":
        cursor, page = room.run(verbs.entries(room.prefix, cursor or "0"))
        found += page
    assert sorted(entry.decode() for entry in found) == sorted(ids)
