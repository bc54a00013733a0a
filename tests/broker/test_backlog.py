"""backlog: what of a queue could run, by type; what keeps the rest back; how long the front has waited."""

from __future__ import annotations

from typing import Any

import pytest

from distq.broker import ledger
from distq.broker.backlog import Backlog, backlogs, together
from distq.broker.glance import glance
from distq.broker.scripts import script
from tests.broker.test_flow import flow
from tests.support import states
from tests.support.room import Room
from tests.support.switch import pause


def look(room: Room) -> Backlog:
    [found] = room.run(backlogs([room.prefix]))
    assert found is not None
    return found


def test_nothing_is_there(room: Room) -> None:
    found = look(room)
    assert found.tally == room.run(ledger.tally(room.prefix))
    assert found[1:] == (0, 0, 0, 0, {})


def test_what_could_run_or_does_counts_by_type_and_what_is_scheduled_or_over_does_not(room: Room) -> None:
    states.completed_(room)
    for number in range(6):
        room.enqueue("mail", priority=number % 3)
    room.enqueue("resize")
    room.enqueue("resize", delay=3_600_000)
    room.cancel(room.enqueue("mail"))
    worker = room.register()
    room.step(worker, want=2)
    found = look(room)
    assert (found.ready, found.limited) == (5, 0)
    assert found.work == pytest.approx({"mail": 6, "resize": 1})


@pytest.mark.parametrize(("scheduled", "listed"), [(1_000, 40), (100, 1_200), (900, 1_100)])
def test_much_is_looked_up_in_part(room: Room, scheduled: int, listed: int) -> None:
    def send(type: str, number: int, **options: Any) -> None:
        ids = [f"default.{type}{each}{'d' if options else ''}" for each in range(number)]
        room.wire.run_script(script("enqueue"), room.enqueue_many_bytes(ids, type, **options))

    for type, part in (("quick", 3), ("slow", 1)):
        send(type, part * listed // 4)
        send(type, (4 - part) * scheduled // 4, delay=3_600_000)
    found = look(room)
    assert found.ready == listed
    assert sum(found.work.values()) == pytest.approx(listed)
    assert found.work["quick"] == pytest.approx(3 * listed / 4, rel=0.1)


def test_what_waits_for_a_rate_cannot_run_but_for_its_tokens(room: Room) -> None:
    for _ in range(5):
        room.enqueue("mail", limit="1000000 2")
    found = look(room)
    assert (found.ready, found.limited, found.work) == (2, 3, {"mail": 2})
    worker = room.register(("mail",))
    assert len(room.step(worker).entries) == 2
    found = look(room)
    assert (found.ready, found.limited, found.work) == (0, 3, {"mail": 2})


def test_what_waits_for_a_place_or_its_turn_cannot_run(room: Room) -> None:
    flows: dict[str, dict[str, Any]] = {"busy": {"m": 2}, "order": {"o": 1}, "fair": {"f": 1}}
    worker = room.register(("v2/busy", "v2/order", "v2/fair"), flows=flows)
    for type, keys in (("busy", "xxxxx"), ("order", "aaab"), ("fair", "abcabc")):
        for key in keys:
            room.enqueue(type, key=key, flow=flow(**flows[type]))
    found = look(room)
    assert found.work == {"busy": 2, "order": 2, "fair": 6}
    assert (found.ready, found.limited) == (10, 5)
    room.step(worker, want=20)
    found = look(room)
    assert (found.ready, found.limited, found.tally.depths.running) == (0, 5, 10)
    assert sum(found.work.values()) == 10


def test_a_pause_keeps_all_back_and_what_runs_still_does(room: Room) -> None:
    states.held(room)
    room.enqueue("mail")
    pause(room)
    found = look(room)
    assert (found.ready, found.limited, found.age_ms) == (0, 1, 0), "the one that waits is no alarm"
    assert sum(found.work.values()) == pytest.approx(1)


def test_the_age_is_that_of_the_front_and_one_that_was_delayed_before_does_not_matter(room: Room) -> None:
    room.enqueue(delay=60_000)
    room.pass_time(60_000)
    for _ in range(3):
        room.enqueue()
    room.pass_time(5_000)
    room.tick()
    room.redis.lmove(room.key("QUEUE", "default"), room.key("QUEUE", "default"), "RIGHT", "LEFT")
    assert 5_000 <= look(room).age_ms < 60_000
    room.step(room.register(), want=4)
    assert look(room).age_ms == 0


def test_who_watches_is_told_the_same_age_and_none_of_what_cannot_run(room: Room) -> None:
    worker = room.register(("rated", "v2/busy"), flows={"busy": {"m": 1}}, limits={"rated": "3600000000 1"})

    def ages() -> set[int]:
        watched = room.run(glance(room.prefix, 0))
        return {look(room).age_ms // 1000, (watched.now_ms - watched.oldest_ms) // 1000 if watched.oldest_ms else 0}

    for _ in range(2):
        room.enqueue("busy", key="x", flow=flow(m=1))
    room.pass_time(100_000)
    assert ages() == {100}, "in the lane of a key"
    room.step(worker, want=1)
    assert ages() == {0}, "the other one waits for its place"
    for _ in range(2):
        room.enqueue("rated")
    room.pass_time(10_000)
    assert ages() == {10}
    room.step(worker, want=1)
    assert ages() == {0}, "the other one waits for a token"
    room.enqueue()
    room.pass_time(1_000)
    assert ages() == {1}
    pause(room)
    assert ages() == {0}


def test_what_is_due_and_has_not_moved_is_overdue(room: Room) -> None:
    room.enqueue(delay=60_000)
    assert look(room).overdue_ms == 0
    room.pass_time(62_000)
    assert 2_000 <= look(room).overdue_ms < 60_000
    room.tick()
    assert look(room).overdue_ms == 0
    room.redis.zadd(room.key("FIRES"), {"a schedule": room.now_ms() - 5_000})
    assert look(room).overdue_ms >= 5_000
    room.redis.delete(room.key("FIRES"))


def test_partitions_are_one(room: Room) -> None:
    room.enqueue("mail")
    one = look(room)
    both = together([one._replace(age_ms=7, limited=1), one._replace(overdue_ms=3)])
    assert both.tally == ledger.total([one.tally, one.tally])
    assert both[1:] == (2, 1, max(7, one.age_ms), 3, {"mail": 2})
