"""entries: the names and types of what is alive, page by page."""

from __future__ import annotations

from collections import Counter

from distq.broker import verbs
from tests.support.room import Room


def test_all_pages_together_name_each_live_task_once(room: Room) -> None:
    ids = {room.enqueue("mail" if number % 3 else "job") for number in range(1500)}
    over = room.enqueue()
    room.cancel(over)
    found: list[tuple[bytes, bytes]] = []
    cursor = ""
    while cursor != "0":
        cursor, page = room.run(verbs.entries(room.prefix, cursor or "0"))
        found += page
    assert sorted(entry.decode() for entry, _ in found) == sorted(ids)
    assert Counter(type for _, type in found) == {b"job": 500, b"mail": 1000}
