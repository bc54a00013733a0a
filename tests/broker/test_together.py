"""One call for several queues: as if each had been asked alone, also if one of them is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from distq.broker import together
from distq.broker.connect import ServerError
from tests.support.room import Room, Worker

NAMES = ("default", "mail", "bulk")


@pytest.fixture
def rooms(room: Room) -> Iterator[list[Room]]:
    rooms = [Room(room.url, queue=name) for name in NAMES]
    yield rooms
    for each in rooms:
        each.close()


def renew(rooms: list[Room], workers: list[Worker]) -> list[together.Renewal | None]:
    names = [worker.name for worker in workers]
    return rooms[0].run(together.renew([each.prefix for each in rooms], "host", 15_000, "job", ["job"], names))


def test_leases_are_renewed_in_each_queue(rooms: list[Room]) -> None:
    workers = [each.register() for each in rooms]
    for number, each in enumerate(rooms):
        for _ in range(number):
            each.enqueue()
        each.step(workers[number], 5)
        each.tick(f"keeper-{number}")
    renewals = renew(rooms, workers[:1])
    assert [renewal and renewal.held for renewal in renewals] == [[0], [1], [2]]
    assert [renewal and renewal.keeper for renewal in renewals] == ["keeper-0", "keeper-1", "keeper-2"]


def test_depths_of_all(rooms: list[Room]) -> None:
    rooms[1].enqueue()
    found = rooms[0].run(together.depths([each.prefix for each in rooms]))
    assert [depths and depths.default for depths in found] == [0, 1, 0]


def test_a_broken_queue_is_left_out_and_the_others_are_renewed(rooms: list[Room]) -> None:
    workers = [each.register() for each in rooms]
    rooms[1].redis.delete(rooms[1].key("LEASES"))
    rooms[1].redis.set(rooms[1].key("LEASES"), "broken")
    first, broken, last = renew(rooms, workers[:1])
    assert (first and first.held, broken, last and last.held) == ([0], None, [0])
    rooms[1].redis.delete(rooms[1].key("LEASES"))


def test_what_fails_everywhere_is_an_error_with_its_code(rooms: list[Room]) -> None:
    for each in rooms:
        each.redis.set(each.key("HOSTS"), "broken")
    with pytest.raises(ServerError) as error:
        renew(rooms, [])
    assert error.value.code == "WRONGTYPE"
    for each in rooms:
        each.redis.delete(each.key("HOSTS"))
