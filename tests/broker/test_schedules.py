"""schedules: reads what is there, with the broker's time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from distq import Distq
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


def test_people_who_change_one_at_once_leave_it_whole(room: Room) -> None:
    """Each change is of what was there: none is lost, and one that rests waits for nothing."""
    first = Distq("app", room.url)
    first.schedules.create("it", "@every 1h", "job")

    def change(number: int) -> None:
        schedules = Distq("app", room.url).schedules
        for turn in range(4):
            schedules.edit("it", jitter=number * 10 + turn)
            schedules.pause("it")
            schedules.trigger("it")
            schedules.resume("it") if turn < 3 else schedules.edit("it", when=f"@every {number + 2}h")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    left = first.schedules.get("it")
    waits = room.redis.zscore(room.key("FIRES"), "it")
    assert (waits is None) == left.is_paused
    resumed = first.schedules.resume("it")
    assert resumed.jitter % 10 == 3
    tick_ms = int(room.redis.hget(room.key("SCHEDULE", "it"), "tick"))
    assert room.redis.zscore(room.key("FIRES"), "it") == tick_ms == resumed.next[0].timestamp() * 1000
    assert len(first.schedules.history("it")) == room.ledger()["enqueued job"] == 16
    first.schedules.delete("it")
