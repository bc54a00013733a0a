"""reschedule: queued | scheduled -> queued | scheduled."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from distq.broker import moves
from distq.broker.moves import Change
from distq.broker.scripts import script
from distq.message import new_id
from tests.support import states
from tests.support.arrows import arrow
from tests.support.room import LEVELS, Room, completed, retried, verdict

HOUR = 3_600_000
LATER, NOW, HIGH, LOW = Change("delay", HOUR), Change("delay", 0), Change(priority=2), Change(priority=0)


def change(room: Room, id: str, change: Change) -> str:
    [word] = room.run(moves.reschedule(room.prefix, [id], change))
    return word


@arrow("queued", "scheduled", "reschedule")
@arrow("scheduled", "scheduled", "reschedule")
@pytest.mark.parametrize("state", ["queued", "scheduled"])
def test_what_waits_is_given_another_time(room: Room, state: str) -> None:
    id = states.MAKE[state](room)
    assert change(room, id, LATER) == "rescheduled"
    assert room.where(id) == "scheduled"
    assert HOUR - 60_000 < room.look(id).due_ms - room.now_ms() <= HOUR
    assert change(room, id, Change("due", room.now_ms() + 2 * HOUR)) == "rescheduled"
    assert room.look(id).due_ms - room.now_ms() > HOUR
    room.pass_time(3 * HOUR)
    room.tick()
    assert room.hold(room.register(), id) == room.entry_of(id)


@arrow("scheduled", "queued", "reschedule")
def test_or_is_to_run_now(room: Room) -> None:
    worker, id = room.register(), room.enqueue(delay=HOUR)
    assert change(room, id, NOW) == "rescheduled"
    room.hold(worker, id)
    past = room.enqueue(delay=HOUR)
    assert change(room, past, Change("due", room.now_ms() - HOUR)) == "rescheduled"
    room.hold(worker, past)


@arrow("queued", "queued", "reschedule")
def test_or_another_priority_at_whose_end_it_waits(room: Room) -> None:
    first, other, id = room.enqueue(priority=2), room.enqueue(), room.enqueue()
    assert change(room, id, HIGH) == "rescheduled"
    last = room.enqueue(priority=2)
    got = [entry.decode().partition(" ")[0] for entry in room.step(room.register()).entries]
    assert got == [first, id, last, other]


def test_what_is_scheduled_keeps_its_time_with_another_priority(room: Room) -> None:
    id = room.enqueue(delay=HOUR)
    due = room.look(id).due_ms
    assert change(room, id, LOW) == "rescheduled"
    assert (room.look(id).due_ms, room.head(id).priority) == (due, 0)


def test_what_is_ready_and_is_to_run_now_keeps_its_place(room: Room) -> None:
    id = room.enqueue()
    before = room.lists()
    assert change(room, id, NOW) == "rescheduled"
    assert room.lists() == before


@pytest.mark.parametrize(("state", "word"), states.NOT_WAITING)
def test_anything_else_stays_as_it_is(room: Room, state: str, word: str) -> None:
    id = states.MAKE[state](room)
    lists, head = room.lists(), room.redis.hgetall(room.key("TASKS"))
    assert change(room, id, LATER) == word
    assert (room.lists(), room.redis.hgetall(room.key("TASKS"))) == (lists, head)


def test_a_retry_that_waits_keeps_its_attempts_and_their_records(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [retried(id, HOUR)])
    assert change(room, id, Change("delay", 40 * 24 * HOUR)) == "rescheduled"
    assert change(room, id, NOW) == "rescheduled"
    assert (room.head(id).attempt, len(room.attempts(id))) == (1, 1)
    assert room.redis.pttl(room.key("ATTEMPTS", id)) > 60 * 24 * HOUR


def test_it_keeps_its_deadline_and_does_not_wait_beyond_it(room: Room) -> None:
    id = room.enqueue(expires_in=2 * HOUR)
    assert change(room, id, Change("delay", 3 * HOUR)) == "expires"
    assert change(room, id, LATER) == "rescheduled"
    assert change(room, id, NOW) == "rescheduled"
    assert change(room, id, HIGH) == "rescheduled"
    room.pass_time(3 * HOUR)
    room.tick()
    assert room.where(id) == "expired"


def test_what_was_parked_for_an_unknown_type_is_patient_from_then_on(room: Room) -> None:
    id, worker = states.held(room)
    room.step(worker, 0, [verdict(id, "park", number=2 * HOUR)])
    room.pass_time(HOUR)
    room.redis.delete(room.key("TYPES", worker.digest))
    assert change(room, id, HIGH) == "rescheduled"
    room.pass_time(HOUR + 60_000)
    room.tick()
    assert room.where(id) == "queued"
    room.pass_time(HOUR)
    room.tick()
    assert room.where(id) == "dead"


# -- the same id ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"expires_in": HOUR}], ids=["the short way", "the long way"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_call_that_is_sent_again_makes_no_second_task(room: Room, number: int, options: dict[str, Any]) -> None:
    """The producer has had no reply yet, and its task is another entry by now."""
    ids = [new_id("default") for _ in range(number)]
    data = room.enqueue_many_bytes(ids, **options)
    assert room.wire.run_script(script("enqueue"), data) == [b"created"] * (number if options else 1)
    for id in ids:
        assert change(room, id, LOW) == "rescheduled"
    for _ in range(2):
        assert set(room.wire.run_script(script("enqueue"), data)) == {b"duplicate"}
        room.enqueue(priority=2, ttl=3600)  # its result makes the list of shelves anew
        worker = room.register()
        [entry] = room.step(worker, 1).entries
        room.step(worker, 0, [completed(entry.decode(), 1, 3_600_000)])
        room.redis.zadd(room.key("SHELVES"), dict.fromkeys(room.redis.zrange(room.key("SHELVES"), 0, -1), 0))
    assert room.ledger()["enqueued job"] == number + 2


def test_an_id_of_the_users_is_alive_once(room: Room) -> None:
    room.enqueue(id="a", token="1")
    assert change(room, "a", HIGH) == "rescheduled"
    assert room.send("a", token="1") == ["created"]
    assert room.send("a", token="2") == ["duplicate"]
    assert room.cancel("a") == "cancelled"
    assert room.send("a", token="3") == ["created"]


# -- names, limits, order, batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", ["u", "s"])
def test_it_keeps_its_name(room: Room, until: str) -> None:
    id = room.enqueue(key={until: "7"}, unique=True)
    for one in (HIGH, LATER, LOW, NOW):
        assert change(room, id, one) == "rescheduled"
        assert room.send(new_id("default"), key={until: "7"}, unique=True) == [f"first {id}"]
    worker = room.register(["job", "v2/job"])
    entry = room.hold(worker, id)
    room.step(worker, 0, [completed(entry)])
    assert not room.redis.exists(room.key("UNIQUES"), room.key("NAMED"), room.key("UNSTARTED"))


def test_a_limited_one_leaves_its_lane_and_comes_back(room: Room) -> None:
    worker = room.register(["job"], {"job": f"{HOUR * 1000} 1"})
    first, id, last = (room.enqueue(limit=f"{HOUR * 1000} 1") for _ in range(3))
    room.hold(worker, first)
    assert change(room, id, LATER) == "rescheduled"
    assert change(room, id, NOW) == "rescheduled"
    for expected in (last, id):
        room.pass_time(HOUR)
        room.tick()
        room.hold(worker, expected)


POLICY = {"m": 1, "mk": 1, "o": 1, "f": 1}


@pytest.mark.parametrize("policy", [{name: 1} for name in POLICY], ids=POLICY)
def test_lanes_of_keys_lose_none_and_hold_up_none(room: Room, policy: dict[str, int]) -> None:
    worker = room.register(["job", "v2/job"], flows={"job": policy})
    flow = msgpack.packb(policy)
    ids = [room.enqueue(key=key, flow=flow) for key in "aab"]
    held = {entry.decode() for entry in room.step(worker).entries}
    waiting = [id for id in ids if id not in held]
    for id in waiting:
        assert change(room, id, LATER) == "rescheduled"
        assert change(room, id, HIGH) == ("ordered" if "o" in policy else "rescheduled")
    for id in waiting:
        assert change(room, id, NOW) == "rescheduled"
    done: set[str] = set()
    while held:
        done |= {entry.partition(" ")[0] for entry in held}
        held = {entry.decode() for entry in room.step(worker, verdicts=[completed(entry) for entry in held]).entries}
    assert done == set(ids)
    assert not room.redis.exists(*(room.key(name) for name in ("HELD", "RUNNING", "FLOWING", "RESUMES")))


def test_the_first_of_a_lane_leaves_no_ghost_in_it(room: Room) -> None:
    flow = msgpack.packb({"mk": 2})
    first, second = (room.enqueue(key="a", flow=flow) for _ in range(2))
    assert change(room, first, LATER) == "rescheduled"
    lane = room.key("LANE", "default:v2/job a")
    assert room.redis.lrange(lane, 0, -1) == [second.encode()]
    assert not room.redis.exists(room.key("GHOSTS", "default"))
    assert change(room, second, LATER) == "rescheduled"
    assert not room.redis.exists(lane, room.key("FLOWING"), room.key("TURNS", "default:v2/job"))


def test_what_is_in_order_keeps_its_place_through_a_retry(room: Room) -> None:
    worker = room.register(["job", "v2/job"], flows={"job": {"o": 1}})
    first, second = (room.enqueue(key="a", flow=msgpack.packb({"o": 1})) for _ in range(2))
    room.hold(worker, first)
    room.step(worker, 0, [retried(first, HOUR)])
    assert change(room, first, Change("delay", 2 * HOUR)) == "rescheduled"
    assert room.step(worker).entries == [], "nothing overtakes it"
    assert change(room, first, NOW) == "rescheduled"
    entry = room.hold(worker, first)
    room.step(worker, 0, [completed(entry)])
    room.hold(worker, second)


@pytest.mark.parametrize(("policy", "word"), [({"m": 1}, "suspect"), (None, "rescheduled")])
def test_a_suspect_with_a_place_among_those_that_run_does_not_wait_longer(
    room: Room, policy: dict[str, int] | None, word: str
) -> None:
    worker = room.register(["job", "v2/job"], flows={"job": policy} if policy else {})
    id = room.enqueue(key="a", flow=msgpack.packb(policy)) if policy else room.enqueue()
    entry = room.hold(worker, id)
    room.recover(worker, "died", started=[entry.encode()])
    assert change(room, id, LATER) == word
    assert change(room, id, HIGH) == "rescheduled"
    assert change(room, id, NOW) == "rescheduled"
    worker = room.register(["job", "v2/job"], flows={"job": policy} if policy else {})
    step = room.step(worker)
    assert step.alone == 1, "it runs alone all the same"
    assert [entry.decode().partition(" ")[0] for entry in step.entries] == [id]


def test_a_batch_goes_on_without_one_that_left(room: Room) -> None:
    policy = {"n": 3, "w": HOUR}
    worker = room.register(["job", "v2/job"], flows={"job": policy})
    ids = [room.enqueue(key="a", flow=msgpack.packb(policy)) for _ in range(2)]
    assert change(room, ids[0], Change("delay", 3 * HOUR)) == "rescheduled"
    room.pass_time(HOUR + 1)
    room.tick()
    room.hold(worker, ids[1])
    assert change(room, ids[0], NOW) == "rescheduled"
    room.pass_time(HOUR + 1)
    room.tick()
    room.hold(worker, ids[0])


def test_many_in_one_call_are_each_told(room: Room) -> None:
    ids = [room.enqueue(priority=n % 3) for n in range(30)]
    running, worker = room.enqueue(priority=2, id="r", token="t"), room.register()
    [first, *_] = room.step(worker, 1).entries
    words = room.run(moves.reschedule(room.prefix, [*ids, running, "nobody"], Change("delay", HOUR, 2)))
    assert words == ["running" if id == first.decode() else "rescheduled" for id in ids] + ["rescheduled", "unknown"]
    assert room.redis.zcard(room.key("DELAYED")) == 30
    assert sum(room.redis.scard(room.key("GHOSTS", level)) for level in LEVELS) == 30
    assert room.ledger()["rescheduled job"] == 30
