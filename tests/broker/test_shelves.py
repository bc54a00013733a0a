"""What is kept of endings, on shelves: for how long, who finds it, and who is told of it (lua/parts/shelves.lua)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from distq import message
from distq.broker import together, verbs
from tests.support import states
from tests.support.room import Room, buried, completed, verdict

MINUTE, DAY = 60_000, 86_400_000


def complete(room: Room, *ids: str, ttl_ms: int = 600_000) -> None:
    """A worker takes what is ready, which are these, and completes it in one step."""
    worker = room.register()
    entries = [entry.decode() for entry in room.step(worker, 128).entries]
    assert entries == list(ids)
    room.step(worker, 0, [completed(entry, ttl_ms=ttl_ms) for entry in entries])


def end_of(shelf: str) -> int:
    span, number = map(int, shelf.rsplit(":", 2)[1:])
    return span * number * 1000


def look(room: Room, id: str, waits: bool = False) -> verbs.Look:
    return room.run(verbs.look(room.prefix, id, waits))


def renew(room: Room) -> None:
    room.run(together.renew([room.prefix], "host", 15_000, "job", ["job"], []))


def answers(room: Room, id: str) -> list[str]:
    return [msgpack.unpackb(raw)[0] for raw in room.redis.lrange(room.key("ANSWER", id), 0, -1)]


def let_its_time_pass(room: Room) -> None:
    """The one shelf was over long ago."""
    [shelf] = room.shelves()
    name = shelf.removeprefix(room.key("SHELF"))
    room.redis.rename(shelf, room.key("SHELF", "64:1"))
    room.redis.zrem(room.key("SHELVES"), name)
    room.redis.zadd(room.key("SHELVES"), {"64:1": room.now_ms() - 1_000_000})


# -- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl_ms", [MINUTE, 90_000, 255_999, 256_000, 10 * MINUTE, 60 * MINUTE, DAY, 366 * DAY])
def test_a_result_is_kept_as_long_as_it_should_and_a_quarter_longer_at_most(room: Room, ttl_ms: int) -> None:
    id, before = room.enqueue(), room.now_ms()
    complete(room, id, ttl_ms=ttl_ms)
    [shelf] = room.shelves()
    assert before + ttl_ms <= end_of(shelf) <= room.now_ms() + ttl_ms + max(64_000, ttl_ms // 4)
    left = room.redis.pttl(shelf)
    assert left > 0
    assert left >= end_of(shelf) - room.now_ms()


def test_what_a_step_has_completed_is_on_one_shelf_and_others_share_it(room: Room) -> None:
    ids = [room.enqueue() for _ in range(100)]
    complete(room, *ids)
    other = room.enqueue()
    complete(room, other)
    assert len(room.shelves()) <= 2, "two if a span has just begun"
    assert {look(room, id).state for id in [*ids, other]} == {"ended"}


def test_what_is_kept_for_different_times_is_on_different_shelves(room: Room) -> None:
    for ttl_ms in (MINUTE, 60 * MINUTE, DAY):
        id = room.enqueue()
        complete(room, id, ttl_ms=ttl_ms)
        assert look(room, id).state == "ended"
    assert len(room.shelves()) == 3


def test_a_step_with_two_times_keeps_both(room: Room) -> None:
    first, second = room.enqueue(), room.enqueue()
    worker = room.register()
    room.step(worker)
    room.step(worker, 0, [completed(first, 1, MINUTE), completed(second, 2, DAY)])
    assert (room.result(first)[1], room.result(second)[1]) == (1, 2)
    assert len(room.shelves()) == 2


def test_a_shelf_that_is_over_is_empty_for_everybody_and_goes(room: Room) -> None:
    id = states.completed_(room)
    let_its_time_pass(room)
    assert look(room, id).state == "unknown"
    assert room.cancel(id) == "unknown"
    renew(room)
    assert room.shelves() == []
    assert room.redis.zcard(room.key("SHELVES")) == 0


def test_a_new_shelf_sweeps_those_that_are_over(room: Room) -> None:
    """Also where no supervisor keeps the house."""
    states.cancelled(room)
    let_its_time_pass(room)
    states.cancelled(room)
    assert len(room.shelves()) == room.redis.zcard(room.key("SHELVES")) == 1


def test_a_shelf_whose_last_id_is_forgotten_still_ends(room: Room) -> None:
    room.enqueue(id="order-17", token="1")
    complete(room, "order-17")
    room.enqueue(id="order-17", token="2")
    assert room.result("order-17") == []
    complete(room, "order-17")
    assert all(room.redis.pttl(shelf) > 0 for shelf in room.shelves())


def test_a_shelf_is_searched_like_a_table_from_its_first_result_on(room: Room) -> None:
    """Small hashes are searched from their front: a call of enqueue would pay for all results since some seconds."""
    states.completed_(room)
    assert [room.redis.object("encoding", shelf) for shelf in room.shelves()] == [b"hashtable"]


# -- calls that come again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"expires_in": 60_000}], ids=["the short way", "the long way"])
def test_a_call_that_comes_again_within_a_minute_is_met_by_its_ending(room: Room, options: dict[str, Any]) -> None:
    complete(room, room.enqueue())  # the last one of which SHELVES says when it came
    room.pass_time(9_000)
    id = room.enqueue(**options)
    complete(room, id)
    room.pass_time(59_000)
    assert room.send(id, **options) == ["duplicate"]


def test_it_is_met_on_whichever_shelf(room: Room) -> None:
    ids = []
    for ttl_ms in (MINUTE, 10 * MINUTE, DAY):
        ids.append(room.enqueue())
        complete(room, ids[-1], ttl_ms=ttl_ms)
    assert [room.send(id) for id in ids] == [["duplicate"]] * 3


def test_calls_look_only_at_shelves_to_which_something_came_lately(room: Room) -> None:
    """Producers repeat a call for a minute at most."""
    states.completed_(room)
    before = room.redis.info("commandstats")["cmdstat_hexists"]["calls"]
    room.enqueue()
    middle = room.redis.info("commandstats")["cmdstat_hexists"]["calls"]
    room.pass_time(71_000)
    room.enqueue()
    after = room.redis.info("commandstats")["cmdstat_hexists"]["calls"]
    assert middle - before == after - middle + 1


def test_a_clock_that_was_set_back_makes_no_shelf_the_latest_for_hours(room: Room) -> None:
    states.completed_(room)
    [name] = room.redis.zrange(room.key("SHELVES"), 0, -1)
    room.redis.zadd(room.key("SHELVES"), {name: room.now_ms() + 3_600_000})
    renew(room)
    assert room.redis.zscore(room.key("SHELVES"), name) <= room.now_ms()


# -- who waits --------------------------------------------------------------------------------------------------------


def end_completed(room: Room, id: str) -> None:
    complete(room, id)


def end_completed_again(room: Room, id: str) -> None:
    worker = room.register()
    room.step(worker, 0, [verdict(room.hold(worker, id), "complete_again", number=MINUTE, blob=b"\x91\xa9completed")])


def end_dead(room: Room, id: str) -> None:
    worker = room.register()
    room.step(worker, 0, [buried(room.hold(worker, id))])


def end_cancelled(room: Room, id: str) -> None:
    assert room.cancel(id) == "cancelled"


def end_purged(room: Room, id: str) -> None:
    assert room.run(verbs.purge(room.prefix, "default", "test")) == 1


def end_expired(room: Room, id: str) -> None:
    room.pass_time(61_000)
    room.tick()


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (end_completed, "completed"), (end_completed_again, "completed"), (end_dead, "dead"),
        (end_cancelled, "cancelled"), (end_purged, "cancelled"), (end_expired, "expired"),
    ],
)  # fmt: skip
def test_who_waits_is_told_of_each_ending(room: Room, end: Callable[[Room, str], None], word: str) -> None:
    id = room.enqueue(expires_in=60_000)
    assert look(room, id, waits=True).state == "queued"
    end(room, id)
    assert answers(room, id) == [word]
    assert 0 < room.redis.pttl(room.key("ANSWER", id)) <= 30_000
    assert not room.redis.exists(room.key("WAITED"))


def test_nobody_is_told_of_what_nobody_waits_for(room: Room) -> None:
    ids = [room.enqueue() for _ in range(3)]
    look(room, ids[0])
    look(room, ids[1], waits=True)
    complete(room, *ids)
    assert [answers(room, id) for id in ids] == [[], ["completed"], []]


def test_waiting_for_what_is_over_or_unknown_leaves_nothing(room: Room) -> None:
    id = states.completed_(room)
    before = room.snapshot()
    assert look(room, id, waits=True).state == "ended"
    assert look(room, message.new_id("default"), waits=True).state == "unknown"
    assert room.snapshot() == before


def test_those_who_were_killed_while_they_waited_are_forgotten(room: Room) -> None:
    first, second = room.enqueue(), room.enqueue()
    look(room, first, waits=True)
    assert 0 < room.redis.pttl(room.key("WAITED")) <= 25_000
    room.redis.zadd(room.key("WAITED"), {first: room.now_ms() - 1})
    look(room, second, waits=True)
    assert room.redis.zrange(room.key("WAITED"), 0, -1) == [second.encode()]


def test_a_new_life_does_not_begin_with_the_answer_of_the_last_one(room: Room) -> None:
    room.enqueue(id="order-17", token="1")
    look(room, "order-17", waits=True)
    complete(room, "order-17")
    assert answers(room, "order-17") == ["completed"]
    room.enqueue(id="order-17", token="2")
    assert answers(room, "order-17") == []


def test_nor_does_a_replayed_one(room: Room) -> None:
    id = room.enqueue()
    look(room, id, waits=True)
    end_dead(room, id)
    assert answers(room, id) == ["dead"]
    assert room.run(verbs.replay(room.prefix, [id])) == ["replayed"]
    assert (answers(room, id), room.result(id)) == ([], [])


def test_a_full_broker_lets_somebody_wait(room: Room) -> None:
    id = room.enqueue()
    try:
        room.redis.config_set("maxmemory", 1)
        assert look(room, id, waits=True).state == "queued"
    finally:
        room.redis.config_set("maxmemory", 0)
