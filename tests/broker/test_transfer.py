"""A move between two queues, step by step: whoever stops where, the task is in one of them, and runs once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import msgpack
import pytest

from distq import ConfigurationError, Distq, NotWaiting, UnknownQueue
from distq.broker import keys, transfer
from distq.broker.moves import Change
from distq.broker.transfer import ONLY_LEFT, Steps
from distq.changing import run
from distq.filters import Filter
from distq.moving import Sweep, moving
from tests.support.room import Room, Worker, completed, retried
from tests.support.rules import check_rules

HOUR = 3_600_000
NOTHING = Change()


@pytest.fixture
def bulk(room: Room) -> Iterator[Room]:
    """Another queue of the same application."""
    other = Room(room.url, room.app, "bulk")
    yield other
    check_rules(other)
    other.close()


def move(room: Room, other: Room, *ids: str, change: Change = NOTHING) -> list[str]:
    return run(room.run, transfer.transfer(room.prefix, other.prefix, ids, change))


def nothing_is_left(*rooms: Room) -> None:
    for room in rooms:
        assert not room.redis.exists(room.key("LEAVING"), room.key("ARRIVING"))


def test_a_task_goes_on_in_the_other_queue(room: Room, bulk: Room) -> None:
    ready, later = room.enqueue(priority=2, expires_in=5 * HOUR), room.enqueue(delay=HOUR)
    due = room.look(later).due_ms
    assert move(room, bulk, ready, later, "nobody") == ["moved", "moved", "unknown"]
    assert (room.where(ready), bulk.where(ready), bulk.where(later)) == ("moved", "queued", "scheduled")
    assert (bulk.head(ready).priority, bulk.look(later).due_ms) == (2, due)
    assert room.ledger() == {"enqueued job": 2, "moved job": 2}
    assert bulk.ledger() == {"arrived job": 2}
    nothing_is_left(room, bulk)
    assert move(bulk, room, ready, change=Change("delay", HOUR, 0)) == ["moved"], "and back again"
    assert (room.where(ready), room.head(ready).priority) == ("scheduled", 0)
    assert move(bulk, room, ready) == ["taken"]
    worker = bulk.register()
    bulk.pass_time(2 * HOUR)
    bulk.hold(worker, later)


def test_it_keeps_its_attempts_and_their_records(room: Room, bulk: Room) -> None:
    worker, id = room.register(), room.enqueue()
    room.hold(worker, id)
    room.step(worker, 0, [retried(id, HOUR)])
    assert move(room, bulk, id) == ["moved"]
    assert (bulk.head(id).attempt, len(bulk.attempts(id))) == (1, 1)


def test_what_cannot_go_stays_as_it_is(room: Room, bulk: Room) -> None:
    flow = msgpack.packb({"mk": 1})
    running, worker = room.enqueue(priority=2), room.register()
    [entry] = room.step(worker, 1).entries
    there = bulk.enqueue(id="same", token="1") and room.enqueue(id="same", token="1")
    limited, keyed = room.enqueue("mail", limit="1000 5"), room.enqueue("post", key="7", flow=flow)
    named, short = room.enqueue(key={"u": "7"}, unique=True), room.enqueue(expires_in=HOUR)
    words = move(room, bulk, running, there, limited, keyed, named, short, change=Change("delay", 2 * HOUR))
    assert words == ["running", "taken", "bound", "bound", "bound", "expires"]
    assert bulk.redis.hlen(bulk.key("TASKS")) == 1
    nothing_is_left(room, bulk)
    room.step(worker, 0, [completed(entry.decode())])


def test_a_producer_that_sends_its_call_again_makes_no_second_one(room: Room, bulk: Room) -> None:
    id = room.enqueue()
    assert move(room, bulk, id) == ["moved"]
    assert room.send(id) == ["duplicate"]


@pytest.mark.parametrize("seed", range(10))
def test_whoever_stops_wherever_it_is_in_one_queue_and_runs_once(room: Room, bulk: Room, seed: int) -> None:
    """Several move the same tasks, to and fro, each at its own pace; somebody takes a move for given up and ends it,
    at a pace of his own; each may be cut off behind any step, and each command may be sent twice."""
    chance, rooms = Random(seed), (room, bulk)
    ids = [room.enqueue(delay=HOUR if chance.random() < 0.3 else 0) for _ in range(4)]
    workers = [(each, each.register()) for each in rooms]
    ran: list[str] = []
    moves: list[tuple[Room, Room, list[str], str]] = []
    movers: list[tuple[Room, Steps, list[Any]]] = []
    for number in range(60):
        deed = chance.random()
        if deed < 0.15:
            source, target = rooms if chance.random() < 0.7 else rooms[::-1]
            moves.append((source, target, chance.sample(ids, 2), f"t{number}"))
            movers.append((source, begun(*moves[-1], NOTHING), [None]))
        elif deed < 0.2 and moves:
            again = chance.choice(moves)
            movers.append((again[0], begun(*again, ONLY_LEFT), [None]))
        elif deed < 0.3:
            keep(*rooms)
        elif deed < 0.4:
            work(*chance.choice(workers), ran)
        elif movers:
            mover = chance.choice(movers)
            if not advance(*mover, twice=chance.random() < 0.3) or chance.random() < 0.1:
                movers.remove(mover)
        for each in rooms if number % 6 == 0 else ():
            check_rules(each)
    for _ in range(4):
        keep(*rooms)
    nothing_is_left(*rooms)
    for each, worker in workers:
        each.pass_time(2 * HOUR)
        work(each, worker, ran, 10)
    assert sorted(ran) == sorted(ids), "each has run once"


def begun(source: Room, target: Room, ids: list[str], token: str, change: Change) -> Steps:
    return transfer.transfer(source.prefix, target.prefix, ids, change, token)


def advance(room: Room, steps: Steps, reply: list[Any], twice: bool) -> bool:
    """One command; whether there may be more."""
    try:
        command = steps.send(reply[0])
    except StopIteration:
        return False
    reply[0] = room.run(command)
    if twice:
        again = room.run(command)
        assert again == reply[0] or command.verb.name == "conclude"
    return True


def keep(*rooms: Room) -> None:
    """What a keeper does with moves that are not over."""
    for room in rooms:
        for place in ("LEAVING", "ARRIVING"):
            for note in transfer.read_notes(room.wire.request(transfer.notes(room.prefix, place)) or []):
                other = keys.prefix(keys.app_of(room.prefix), note.other)
                source, target = (room.prefix, other) if place == "LEAVING" else (other, room.prefix)
                run(room.run, transfer.transfer(source, target, [note.id], ONLY_LEFT, note.token))


def work(room: Room, worker: Worker, ran: list[str], want: int = 1) -> None:
    entries = [entry.decode() for entry in room.step(worker, want).entries]
    ran += map(keys.id_of, entries)
    room.step(worker, 0, [completed(entry) for entry in entries])


# -- handles follow ---------------------------------------------------------------------------------------------------


@pytest.fixture
def app(room: Room) -> Iterator[Distq]:
    app = Distq("app", room.url, timeout=10)
    app.queue("bulk")
    app.task(type="job")(lambda *args: None)
    yield app
    room.redis.delete("distq:queues")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_handle_follows(room: Room, bulk: Room, app: Distq, is_async: bool) -> None:
    def again() -> Any:
        """Somebody who knows no more than the id."""
        return app.result(handle.id)

    handle = app.tasks["job"].delay()
    if is_async:
        asyncio.run(again().areschedule(queue="bulk", priority="low"))
    else:
        handle.reschedule(queue="bulk", priority="low")
        assert handle.queue == "bulk"
    assert (bulk.where(handle.id), again().status(), asyncio.run(again().astatus())) == ("queued", "queued", "queued")
    again().reschedule(delay=60)
    assert (again().status(), app.why(handle.id).queue) == ("scheduled", "bulk")
    again().reschedule(queue="bulk")
    room.forget_result(handle.id)
    again().reschedule(delay=0)
    worker = bulk.register()
    bulk.step(worker, 0, [completed(bulk.hold(worker, handle.id), 42)])
    assert again().get(timeout=10) == asyncio.run(again().aget(timeout=10)) == 42
    with pytest.raises(NotWaiting):
        again().reschedule(queue="default")


def test_who_cancels_or_waits_for_it_finds_it(room: Room, bulk: Room, app: Distq) -> None:
    handle = app.tasks["job"].delay()
    room.run(transfer.expect(bulk.prefix, "t", "default", [handle.id]))
    [task] = room.run(transfer.depart(room.prefix, "t", "bulk", NOTHING, [handle.id]))
    assert app.result(handle.id).status() == "queued", "also in between"
    room.run(transfer.arrive(bulk.prefix, "t", [(handle.id, task)]))
    assert app.result(handle.id).cancel()
    assert bulk.where(handle.id) == "cancelled"
    keep(room, bulk)


def test_a_wrong_queue_is_an_error_at_once(room: Room, app: Distq) -> None:
    handle = app.tasks["job"].delay()
    with pytest.raises(UnknownQueue, match="did you mean `bulk`"):
        handle.reschedule(queue="blk")
    with pytest.raises(ConfigurationError, match="say what is to change"):
        handle.reschedule()
    assert handle.status() == "queued"


def test_all_that_a_filter_means_goes(room: Room, bulk: Room, app: Distq) -> None:
    ids = [app.tasks["job"].delay().id for _ in range(120)]
    sweep = Sweep(app, Filter.parse("type:job"), moving(app, "bulk", Change(priority=2))).run()
    assert (sweep.number, dict(+sweep.left)) == (120, {})
    assert {bulk.where(id) for id in ids} == {"queued"}
    assert Sweep(app, Filter.parse("type:job queue:bulk"), moving(app, "bulk", NOTHING)).run().number == 120
    nothing_is_left(room, bulk)
