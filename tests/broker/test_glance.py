"""glance: what people who watch want to see of a queue, at one instant."""

from __future__ import annotations

import pytest

from distq.broker import controls
from distq.broker.glance import Glance, glance, glances
from distq.broker.ledger import tally
from tests.support import states
from tests.support.room import Room


def look(room: Room, each: int = 16) -> Glance:
    return room.run(glance(room.prefix, each))


def test_nothing(room: Room) -> None:
    found = look(room)
    assert found[1:] == (room.run(tally(room.prefix)), [], 0, {}, {}, [])
    assert abs(found.now_ms - room.now_ms()) < 5000


def test_numbers_workers_and_the_types_of_what_they_have(room: Room) -> None:
    worker = room.register(["mail", "job"], host="web")
    ids = [room.enqueue(type) for type in ("mail", "job", "job")]
    room.step(worker, 3)
    room.register(host="other")
    found = look(room, 2)
    assert found.tally == room.run(tally(room.prefix))
    assert {one.name: one.host for one in found.workers}[worker.name] == "web"
    [busy] = [one for one in found.workers if one.number]
    assert (busy.number, busy.holds) == (3, [(ids[0], "mail"), (ids[1], "job")])
    assert 14_000 < busy.lease_left_ms <= 15_000
    assert sorted(found.hosts) == ["other", "web"]


@pytest.mark.parametrize("place", ["ready", "lane", "low"])
def test_since_when_the_first_task_waits_wherever_it_waits(room: Room, place: str) -> None:
    if place == "lane":
        room.register(["slow"], limits={"slow": "1000 1"})
    gone = room.enqueue("slow" if place == "lane" else "job", priority=0 if place == "low" else 1)
    before = room.now_ms()
    room.enqueue("slow" if place == "lane" else "job", priority=0 if place == "low" else 1)
    room.enqueue(delay=60_000)
    assert 0 < look(room).oldest_ms <= before
    room.cancel(gone)
    assert before - 100 <= look(room).oldest_ms <= room.now_ms(), "the ghost of a cancelled one does not count"


def test_what_is_paused(room: Room) -> None:
    for what in (("queue", "", ""), ("type", "job", ""), ("key", "mail", "7")):
        room.run(controls.pausing(room.prefix, *what, "ann", "why not"))
    found = look(room)
    assert (found.stopped["by"], found.stopped["why"]) == ("ann", "why not")
    assert set(found.paused) == {"job", "mail 7"}
    assert found.paused["job"]["by"] == "ann"


def test_several_queues_of_which_one_is_broken(room: Room) -> None:
    rooms = [Room(room.url, queue=name) for name in ("default", "mail", "bulk")]
    rooms[2].enqueue()
    rooms[1].redis.set(rooms[1].key("LEASES"), "mine")
    first, broken, last = room.run(glances([each.prefix for each in rooms]))
    assert first is not None
    assert broken is None
    assert last is not None
    assert (first.tally.depths.default, last.tally.depths.default) == (0, 1)
    rooms[1].redis.delete(rooms[1].key("LEASES"))
    for each in rooms:
        each.close()


def test_a_message_that_nobody_can_read_is_no_obstacle(room: Room) -> None:
    _, worker = states.held(room)
    [entry] = room.redis.lrange(room.key("PROCESSING", worker.name), 0, -1)
    raw = room.redis.hget(room.key("TASKS"), entry)
    room.redis.hset(room.key("TASKS"), entry, b"\xff")
    assert look(room).workers[0].number == 1
    room.redis.hset(room.key("TASKS"), entry, raw)
