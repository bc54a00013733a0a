"""history: what happened lately; and the notes of the keeper, from which it knows what happened in the queue."""

from __future__ import annotations

import msgpack
import pytest

from distq import Distq
from distq.broker import together, verbs
from distq.broker.connect import ServerError
from distq.broker.history import NOTED, RANGES, Past, history
from distq.broker.scripts import script
from distq.history import joined, lately
from distq.run_times import RunTimes
from tests.support import states
from tests.support.room import Room


def renew(room: Room, host: str = "host") -> None:
    (found,) = room.run(together.renew([room.prefix], host, 15_000, "job", ["job"], []))
    assert found is not None


def noted(room: Room, range: str = "1h") -> dict[str, int]:
    """What is said of the range, without zeros."""
    found = joined(range, [room.run(history(room.prefix, range))]).events
    return {name: number for name, number in found.items() if number}


def test_the_keeper_notes_what_the_ledger_has_counted_since_it_did_last(room: Room) -> None:
    states.scheduled(room)
    room.register()
    room.tick("host")
    renew(room)
    assert noted(room) == {"enqueued": 1}, "also what came before the first worker"
    states.completed_(room)
    states.dead(room)
    renew(room, "other")
    assert noted(room) == {"enqueued": 1}, "that is the keeper's"
    renew(room)
    renew(room)
    for range in RANGES:
        assert noted(room, range) == {"enqueued": 3, "completed": 1, "dead": 1}
    states.expired(room)
    room.run(verbs.resign(room.prefix, "host"))
    assert noted(room) == {"enqueued": 4, "completed": 1, "dead": 1, "expired": 1}, "its last word"


def test_what_happened_before_an_upgrade_is_not_taken_for_news(room: Room) -> None:
    states.completed_(room)
    room.redis.hdel(room.key("META"), "noted")
    room.tick("host")
    renew(room)
    assert noted(room) == {}
    room.enqueue()
    renew(room)
    assert noted(room) == {"enqueued": 1}


@pytest.mark.parametrize("note", [b"\xc1", b"", b"7", msgpack.packb(7), msgpack.packb(["x"]), msgpack.packb([0, 9999])])
def test_a_note_that_somebody_broke_or_of_a_ledger_that_is_gone_is_written_anew(room: Room, note: bytes) -> None:
    room.tick("host")
    room.enqueue()
    renew(room)
    room.redis.hset(room.key("META"), "noted", note)
    renew(room)
    before = noted(room).get("enqueued", 0)
    room.enqueue()
    renew(room)
    assert noted(room)["enqueued"] == before + 1


def test_a_history_that_somebody_broke_keeps_no_lease_from_being_renewed(room: Room) -> None:
    worker = room.register()
    room.tick("host")
    room.enqueue()
    renew(room)
    for name in room.redis.keys("*:history:*"):
        room.redis.delete(name)
        room.redis.set(name, "x", px=60_000)
    room.enqueue()
    (found,) = room.run(together.renew([room.prefix], "host", 15_000, "job", ["job"], [worker.name]))
    assert found is not None
    assert found.held == [0]
    for name in room.redis.keys("*:history:*"):
        room.redis.delete(name)


def test_what_no_script_has_written_is_passed_over(room: Room) -> None:
    room.register()
    room.tick("host")
    room.enqueue()
    renew(room)
    (name,) = room.redis.keys("*:history:3600:*")
    last = int(next(iter(room.redis.hkeys(name))))
    wrong = {"x": b"1", "": b"", f"{last} job": b"\xc1", f"{last} mail": msgpack.packb([1]), f"{last - 1}": b"\x90"}
    wrong |= {"9" * 5000: msgpack.packb([1]), f"{last} less": msgpack.packb([0, 0, 0, 0, -1, *[0] * 15])}
    room.redis.hset(name, mapping=wrong)
    assert noted(room) == {"enqueued": 1}
    assert joined("1h", [room.run(history(room.prefix, "1h"))]).types == {}


def test_queues_are_one_history_in_which_older_slots_do_not_count() -> None:
    width, last = 60, 30_000_000
    now_ms = last * width * 1000 + 15_000
    job = RunTimes((1, 0, 0), (1, *[0] * 15), 0.001)
    one = Past(now_ms, width, {last: (1, 0, 0, 0, 0, 0), last - 59: (2, 0, 0, 0, 0, 0)}, {last: {"job": job}})
    other = Past(now_ms - 5, width, {last: (0, 4, 0, 0, 0, 0), last - 60: (9, 9, 9, 9, 9, 9)}, {last - 1: {"job": job}})
    found = joined("1h", [one, other])
    assert len(found.slots) == 60
    assert (found.slots[-1].at_ms, found.slots[-1].seconds, found.slots[0].seconds) == (last * width * 1000, 15.0, 60.0)
    assert found.events == dict.fromkeys(NOTED, 0) | {"enqueued": 3, "completed": 4}
    assert found.types == {"job": job.plus(job)}
    assert found.runs == job.plus(job)


def test_another_range_is_refused(room: Room) -> None:
    with pytest.raises(ServerError, match="no range"):
        room.wire.run_script(script("history"), script("history").command(room.prefix.encode(), 299))


def test_many_queues_are_asked_in_few_calls_and_one_that_is_broken_keeps_nothing_from_the_others(room: Room) -> None:
    app = Distq(room.app, room.url)
    for number in range(6):
        app.queue(f"q{number}")
    states.completed_(room)
    room.register()
    room.tick("host")
    renew(room)
    lately(app, "5m")  # the script is known from now on
    broken = Room(room.url, room.app, "q0")
    stretch = room.now_ms() // 300_000
    for place in (stretch - 1, stretch, stretch + 1):
        broken.redis.set(broken.key("HISTORY", f"300:{place}"), "mine", px=60_000)
    before = room.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert lately(app, "5m").events["completed"] == 1
    assert room.redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 2
    broken.redis.delete(*broken.redis.keys("*:history:*"))
    broken.close()
