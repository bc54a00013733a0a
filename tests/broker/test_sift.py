"""sift: (read only), and what is done with all that a filter means."""

from __future__ import annotations

import msgpack
import pytest

from distq import Distq
from distq.broker import moves
from distq.broker.moves import Change
from distq.filters import Filter
from distq.moving import Sweep, cancelling, rescheduling
from tests.support import states
from tests.support.room import Room, retried, verdict

HOUR = 3_600_000


def found(room: Room, text: str) -> set[str]:
    page = room.run(moves.sift(room.prefix, "0", Filter.parse(text).conditions()))
    assert page.cursor == "0"
    return {hit.id for hit in page.hits}


def failed(room: Room, error: str, type: str = "job") -> str:
    """It waits for its next attempt."""
    worker, id = room.register([type]), room.enqueue(type)
    entry = room.hold(worker, id)
    blob = msgpack.packb({"outcome": "raised", "type": error, "message": "No Route\xff to host", "attempt": 1})
    room.step(worker, 0, [verdict(entry, "retry", type=type, number=HOUR, blob=blob)])
    return id


def test_each_condition_chooses(room: Room) -> None:
    states.dead(room)
    retrying, (running, _) = failed(room, "app.Timeout"), states.held(room)
    queued, scheduled = room.enqueue(priority=2), room.enqueue("mail", delay=HOUR)
    keyed = room.enqueue("mail@2", 0, key="tenant-7", flow=msgpack.packb({"f": 1}))
    everything = {running, queued, scheduled, retrying, keyed}
    assert found(room, "all") == everything
    mail = {scheduled, keyed}
    for text, expected in (
        ("state:running", {running}), ("state:queued", {queued, keyed}), ("state:scheduled", {scheduled, retrying}),
        ("state:retrying", {retrying}), ("state:queued,running", {queued, keyed, running}), ("type:mail", mail),
        ("type:ma*", mail), ("type:ma", set()), ("type:x,job", everything - mail), ("priority:high", {queued}),
        ("priority:0,2", {queued, keyed}), ("key:tenant-7", {keyed}), ("key:ten*", {keyed}), ("error:other", set()),
        ("error:TIMEOUT", {retrying}), ('error:"no route"', {retrying}), ("since:1h", everything), ("older:1h", set()),
        ("type:job state:queued priority:high", {queued}),
    ):  # fmt: skip
        assert found(room, text) == expected, text
    room.pass_time(2 * HOUR)
    new = room.enqueue()
    assert found(room, "since:1h") == {new}
    assert found(room, "older:1h") == everything


def test_a_hit_says_which_it_is(room: Room) -> None:
    id = failed(room, "app.Timeout")
    [hit] = room.run(moves.sift(room.prefix, "0", {})).hits
    assert (hit.id, hit.state, hit.type, hit.priority, hit.attempt) == (id, "scheduled", "job", "default", 1)
    assert hit.error.startswith("app.Timeout: No Route")
    assert hit.due_ms - hit.created_ms > HOUR // 2


def test_what_cannot_be_read_is_no_error(room: Room) -> None:
    id = failed(room, "E")
    room.redis.rpush(room.key("ATTEMPTS", id), b"\xc1")
    assert found(room, "error:e") == set()
    assert found(room, "all") == {id}
    room.redis.rpop(room.key("ATTEMPTS", id))


@pytest.fixture
def app(room: Room) -> Distq:
    return Distq("app", room.url)


def test_all_that_is_meant_is_changed_once_page_by_page(room: Room, app: Distq) -> None:
    ids = {room.enqueue() for _ in range(700)} | {room.enqueue(delay=HOUR) for _ in range(100)}
    others = [room.enqueue("mail") for _ in range(50)]
    running, worker = room.enqueue(priority=2), room.register()
    [raw] = room.step(worker, 1).entries
    entry = raw.decode()
    assert entry == running
    turns = 0
    sweep = Sweep(app, Filter.parse("type:job"), rescheduling(app, Change("delay", HOUR, 0)))
    for _ in sweep:
        turns += 1
        room.enqueue()  # called later: not meant
    assert turns > 3
    assert (sweep.number, sweep.left["running"]) == (800, 1)
    assert room.redis.zcard(room.key("DELAYED")) == 800
    assert {room.head(id).priority for id in ids} == {0}
    assert {room.head(id).priority for id in others} == {1}
    room.step(worker, 0, [retried(entry, HOUR)])
    cancelled = Sweep(app, Filter.parse("priority:low"), cancelling(app, "ann")).run()
    assert (cancelled.number, cancelled.looked >= 851) == (800, True)
    assert {room.result(id)[1]["by"] for id in list(ids)[:3]} == {"ann"}
    assert room.ledger()["cancelled job"] == 800


def test_a_sweep_goes_on_where_another_one_stopped(room: Room, app: Distq) -> None:
    for _ in range(700):
        room.enqueue(delay=HOUR)
    number, turns, start = 0, 0, None
    while turns == 0 or start:
        sweep = Sweep(app, Filter.parse("all"), cancelling(app, "ann"), start=start)
        next(iter(sweep))
        number, turns, start = number + sweep.number, turns + 1, sweep.position
    assert (number, turns > 2) == (700, True)
    assert room.redis.hlen(room.key("TASKS")) == 0


def test_what_runs_is_told_to_end_only_if_that_is_wanted(room: Room, app: Distq) -> None:
    running, _ = states.held(room)
    assert Sweep(app, Filter.parse("all"), cancelling(app, "ann")).run().left == {"running": 1}
    assert Sweep(app, Filter.parse("all"), cancelling(app, "ann", "running"), takes_running=True).run().number == 1
    assert room.redis.exists(room.key("CANCEL", running))
