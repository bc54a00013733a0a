"""Replies that get lost, verb by verb: the broker has run the script, and whoever called sends it again, to the byte.
What is there afterwards is what was there before, in every place and in the ledger: nothing doubled, nothing lost."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from distq import Distq, message
from distq.broker import actions, controls, history, ledger, memory, moves, orders, together, transfer, verbs
from distq.broker import completed as listed
from distq.broker.connect import Wire
from distq.broker.scripts import script
from distq.broker.verbs import Command
from distq.broker.verdicts import Verdicts
from distq.errors import BrokerUnavailable, NotWaiting, UnknownTask
from distq.run_times import RunTimes
from tests.support import states
from tests.support.proxy import CutReply, Proxy
from tests.support.room import Room, buried, completed, retried, verdict

LUA = Path(__file__).parents[2] / "distq" / "broker" / "lua"
OF_BUDGETS = {"acquire", "park_budget"}
OF_SCHEDULES = {"schedules", "declare", "define", "fire", "forget"}
CASES: dict[str, Callable[[Room], Command[Any]]] = {}


def case(make: Callable[[Room], Command[Any]]) -> Callable[[Room], Command[Any]]:
    """`verb__what`: makes the state before, and the call."""
    CASES[make.__name__.strip("_")] = make
    return make


@pytest.fixture
def proxy(room: Room) -> Iterator[Proxy]:
    with Proxy(room.url) as proxy:
        yield proxy


def moment(room: Room) -> dict[str, Any]:
    """All that is there, but for what a renewal moves on."""
    found = room.snapshot()
    for name in ("HOSTS", "WAITED"):
        found[room.key(name)] = [member for member, *_ in found.get(room.key(name), [])]
    meta = room.key("META")
    found[meta] = {field: value for field, value in found.get(meta, {}).items() if field != b"keeper_until"}
    return found


# -- producing -------------------------------------------------------------------------------------------------------


def enqueued(room: Room, number: int, **options: Any) -> Command[Any]:
    ids = [f"id-{n}" for n in range(number)] if options.pop("given", False) else message.new_ids("default", number)
    front = verbs.enqueue_front(room.prefix, "job", 1, verbs.enqueue_options(options))
    return verbs.enqueue(front, ids, [message.head("job", 1, 600, 0) + b"\x91\x90"] * number)


@case
def enqueue__one(room: Room) -> Command[Any]:
    return enqueued(room, 1)


@case
def enqueue__many(room: Room) -> Command[Any]:
    return enqueued(room, 1000)


@case
def enqueue__scheduled(room: Room) -> Command[Any]:
    return enqueued(room, 3, delay=3_600_000)


@case
def enqueue__with_a_deadline(room: Room) -> Command[Any]:
    return enqueued(room, 3, expires_in=3_600_000)


@case
def enqueue__limited(room: Room) -> Command[Any]:
    return enqueued(room, 3, limit="1000000 1")


@case
def enqueue__given_ids(room: Room) -> Command[Any]:
    return enqueued(room, 2, given=True, token="t1")


# -- a worker --------------------------------------------------------------------------------------------------------


@case
def register__(room: Room) -> Command[Any]:
    return verbs.register(
        room.prefix, "w:1", "host", 15_000, "job", b"{}", "all", ["job"], {"mail": ("1000000 1", b"")}
    )


@case
def register__apart(room: Room) -> Command[Any]:
    room.enqueue()
    return verbs.register(room.prefix, "w:1", "host", 15_000, "job", b"{}", "all", ["other"], {}, verbs.Lanes(["job"]))


@case
def step__reserves(room: Room) -> Command[Any]:
    for _ in range(5):
        room.enqueue()
    return room.step_command(room.register(), 1, 3)


def holding(room: Room, number: int) -> tuple[Any, list[str]]:
    for _ in range(number):
        room.enqueue()
    worker = room.register()
    return worker, [entry.decode() for entry in room.step(worker, number).entries]


@case
def step__settles_and_reserves(room: Room) -> Command[Any]:
    worker, entries = holding(room, 5)
    for _ in range(3):
        room.enqueue()
    return room.step_command(worker, 2, 2, ends(entries))


def ends(entries: list[str]) -> list[bytes]:
    """One of each kind."""
    a, b, c, d, *rest = entries
    return [completed(a), retried(b), buried(c), verdict(d, "release"), *[verdict(entry, "park") for entry in rest]]


@case
def step__settles_what_is_listed(room: Room) -> Command[Any]:
    worker, entries = holding(room, 2)
    element = struct.pack(">d", 0.5) + msgpack.packb(["completed", 1, 1.7e12, 1.7e12])
    done = [verdict(entry, "complete+1+60000", number=600_000, blob=element) for entry in entries]
    return room.step_command(worker, 2, 2, done)


@case
def settle__(room: Room) -> Command[Any]:
    worker, entries = holding(room, 5)
    given = ends(entries)
    return verbs.settle(room.prefix, worker.name, 1, Verdicts(len(given), b"".join(given)))


@case
def note__(room: Room) -> Command[Any]:
    return actions.note(room.prefix, "boss", "POST pauses", "{}")


@case
def roll_up__(room: Room) -> Command[Any]:
    return history.roll_up(room.prefix, "host", 1, [("job", RunTimes((1, 0, 0), (1, *[0] * 15), 0.002))])


@case
def renew__notes_what_has_happened(room: Room) -> Command[Any]:
    states.completed_(room)
    room.tick()
    return together.renew([room.prefix], "host", 15_000, "job", ["job"], [])


@case
def checkpoint__(room: Room) -> Command[Any]:
    id, worker = states.held(room)
    return memory.checkpoint(room.prefix, worker.name, id.encode(), {b"step:a": b"1", b"rows:b": b"2"})


@case
def checkpoint__again(room: Room) -> Command[Any]:
    id, worker = states.held(room)
    room.run(memory.checkpoint(room.prefix, worker.name, id.encode(), {b"step:a": b"1"}))
    return memory.checkpoint(room.prefix, worker.name, id.encode(), {b"step:a": b"333", memory.PROGRESS: b"1"})


def recovered(room: Room, how: verbs.How, number: int, **options: Any) -> Command[Any]:
    worker, entries = holding(room, number)
    given = [completed(entries[0])] if number > 1 else []
    held = verbs.Held(
        0, [entry.encode() for entry in entries[1:3] or entries], [], Verdicts(len(given), b"".join(given)), 1, 0
    )
    record = msgpack.packb({"outcome": "killed", "type": "Killed"})
    return verbs.recover(room.prefix, worker.name, how, held=held, record=record, ran=number, **options)


@case
def recover__left(room: Room) -> Command[Any]:
    return recovered(room, "left", 5)


@case
def recover__died(room: Room) -> Command[Any]:
    return recovered(room, "died", 5)


@case
def recover__died_of_it(room: Room) -> Command[Any]:
    return recovered(room, "died", 1, max_deliveries=1)


@case
def recover__lost(room: Room) -> Command[Any]:
    return recovered(room, "lost", 5)


# -- a host ----------------------------------------------------------------------------------------------------------


@case
def renew__(room: Room) -> Command[Any]:
    worker, _ = holding(room, 3)
    return together.renew([room.prefix], "host", 15_000, worker.digest, ["job"], [worker.name])


@case
def tick__does_what_is_due(room: Room) -> Command[Any]:
    for _ in range(5):
        room.enqueue(delay=1000)
    room.enqueue(expires_in=1000)
    room.enqueue("mail", limit="1000000 1")
    room.tick()
    room.pass_time(2000)
    return verbs.tick(room.prefix, "host", 15_000)


@case
def resign__(room: Room) -> Command[Any]:
    room.tick("host")
    room.tick("other")
    return verbs.resign(room.prefix, "host")


@case
def restore__(room: Room) -> Command[Any]:
    ids = [room.enqueue() for _ in range(3)]
    room.redis.delete(room.key("QUEUE", "default"))
    return verbs.restore(room.prefix, [id.encode() for id in ids])


@case
def correct__(room: Room) -> Command[Any]:
    room.enqueue()
    room.redis.delete(room.key("LEDGER"))
    return ledger.correct(room.prefix, [("job", 0, 1)])


# -- people ----------------------------------------------------------------------------------------------------------


@case
def cancel__queued(room: Room) -> Command[Any]:
    return verbs.cancel(room.prefix, room.enqueue(), "test")


@case
def cancel__scheduled(room: Room) -> Command[Any]:
    return verbs.cancel(room.prefix, room.enqueue(delay=3_600_000), "test")


@case
def cancel__running(room: Room) -> Command[Any]:
    id, _ = states.held(room)
    return verbs.cancel(room.prefix, id, "test", "running")


@case
def reschedule__to_a_later_time(room: Room) -> Command[Any]:
    return moves.reschedule(room.prefix, [room.enqueue() for _ in range(3)], moves.Change("delay", 3_600_000))


@case
def reschedule__to_another_priority(room: Room) -> Command[Any]:
    ids = [room.enqueue(), room.enqueue(delay=3_600_000), room.enqueue(key={"u": "7"}, unique=True)]
    return moves.reschedule(room.prefix, ids, moves.Change(priority=2))


@case
def reschedule__now(room: Room) -> Command[Any]:
    return moves.reschedule(room.prefix, [room.enqueue(delay=3_600_000)], moves.Change("delay", 0))


@case
def expect__(room: Room) -> Command[Any]:
    return transfer.expect(room.prefix, "t1", "other", ["a", "b"])


@case
def depart__(room: Room) -> Command[Any]:
    ids = [room.enqueue(), room.enqueue(delay=3_600_000), room.enqueue(expires_in=3_600_000)]
    return transfer.depart(room.prefix, "t1", "other", moves.Change(priority=2), ids)


@case
def arrive__(room: Room) -> Command[Any]:
    room.run(expect__(room))
    raw = struct.pack(">dd", room.now_ms(), 0) + message.head("job", 1, 600) + b"\x91\x90"
    due = room.now_ms() + 3_600_000
    return transfer.arrive(
        room.prefix, "t1", [(id, transfer.Departed("moved", raw, at, [b"\x80"])) for id, at in (("a", 0), ("b", due))]
    )


@case
def conclude__(room: Room) -> Command[Any]:
    room.run(expect__(room))
    return transfer.conclude(room.prefix, "t1", ["a", "b"])


def dead(room: Room, number: int) -> list[str]:
    worker, entries = holding(room, number)
    room.step(worker, 0, [buried(entry) for entry in entries])
    return entries


@case
def replay__(room: Room) -> Command[Any]:
    return verbs.replay(room.prefix, dead(room, 3))


@case
def purge__(room: Room) -> Command[Any]:
    for _ in range(5):
        room.enqueue()
    return verbs.purge(room.prefix, "default", "test")


@case
def purge__scheduled(room: Room) -> Command[Any]:
    for _ in range(5):
        room.enqueue(delay=3_600_000)
    return verbs.purge(room.prefix, "scheduled", "test")


@case
def forget_done__(room: Room) -> Command[Any]:
    worker = room.register()
    room.enqueue()
    blob = struct.pack(">d", 0.25) + msgpack.packb(["completed", 42])
    room.step(worker, 0, [verdict(room.step(worker, 1).entries[0].decode(), "complete+10+60000", blob=blob)])
    return listed.forget(room.prefix, "job")


@case
def purge_dead__(room: Room) -> Command[Any]:
    return verbs.purge_dead(room.prefix, dead(room, 3))


@case
def pause__queue(room: Room) -> Command[Any]:
    room.enqueue()
    return controls.pausing(room.prefix, "queue", "", "", "ann")


@case
def pause__type(room: Room) -> Command[Any]:
    room.enqueue(limit="1000 5")
    return controls.pausing(room.prefix, "type", "job", "", "ann")


@case
def resume__type(room: Room) -> Command[Any]:
    room.run(pause__type(room))
    return controls.resuming(room.prefix, "type", "job", "")


@case
def override__set(room: Room) -> Command[Any]:
    room.enqueue(limit="1000 5")
    return controls.overriding(room.prefix, "job", {"rate": "60000000 1", "m": 3}, "ann")


@case
def override__clear(room: Room) -> Command[Any]:
    room.run(override__set(room))
    return controls.overriding(room.prefix, "job", None, "ann")


@case
def order__(room: Room) -> Command[Any]:
    room.tick()
    room.redis.zadd(room.key("HOSTS"), {"host": room.now_ms() + 15_000})
    return orders.order(room.prefix, "host", "quiet")


@case
def look_again__(room: Room) -> Command[Any]:
    flow = msgpack.packb({"mk": 1})
    for key in "aabb":
        room.enqueue(key=key, flow=flow)
    room.step(room.register(["job", "v2/job"], flows={"job": {"mk": 1}}))
    room.redis.hset(room.key("FLOWS"), "job", msgpack.packb({"mk": 2}))
    return controls.looking_again(room.prefix, "default", "v2/job")


# -- the tests -------------------------------------------------------------------------------------------------------


def test_every_verb_that_changes_something_is_here() -> None:
    """But for strays, which looks before it mends, look, which notes that somebody waits, and those of schedules, which
    have a file of tests each. A budget is taken from twice, and its park holds for longer by the time between."""
    changing = {path.stem for path in LUA.glob("*.lua") if "(read only)" not in path.read_text().partition("\n")[0]}
    assert {name.partition("__")[0] for name in CASES} == changing - {"strays", "look"} - OF_SCHEDULES - OF_BUDGETS


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_what_is_sent_again_changes_nothing(room: Room, proxy: Proxy, make: Callable[[Room], Command[Any]]) -> None:
    command = make(room)
    before = moment(room)
    room.wire.request(command.verb.load_command())
    with proxy.fault(CutReply(match=command.verb.sha, times=1)), pytest.raises(BrokerUnavailable):
        Wire(proxy.url, timeout=5.0).run(command)
    done = moment(room)
    assert done != before or command.verb.name == "renew"
    Wire(proxy.url, timeout=5.0).run(command)
    assert moment(room) == done
    assert ledger.difference(room.run(ledger.tally(room.prefix))) == 0


# -- and what the caller is told -------------------------------------------------------------------------------------


@pytest.fixture
def app(room: Room, proxy: Proxy) -> Iterator[Distq]:
    app = Distq("app", proxy.url, timeout=10)
    app.task(type="job")(lambda *args: None)
    app.broker.open("default")
    yield app
    room.redis.delete("distq:queues")


def lost_reply(proxy: Proxy, room: Room, verb: str) -> AbstractContextManager[None]:
    room.wire.request(script(verb).load_command())
    return proxy.fault(CutReply(match=script(verb).sha, times=1))


def test_calls_are_made_once(room: Room, app: Distq, proxy: Proxy) -> None:
    job = app.tasks["job"]
    with lost_reply(proxy, room, "enqueue"):
        handle = job.delay(1)
    with lost_reply(proxy, room, "enqueue"):
        named = job.options(id="order-17").delay(1)
    with lost_reply(proxy, room, "enqueue"):
        many = job.delay_many([(1,), (2,), (3,)])
    with lost_reply(proxy, room, "enqueue"):
        late = asyncio.run(job.options(delay=60).adelay(1))
    assert all(each.created for each in (handle, named, *many, late))
    assert {each.status() for each in (handle, named, *many)} == {"queued"}
    assert room.ledger() == {"enqueued job": 6}


@pytest.mark.parametrize("is_async", [False, True], ids=["cancel", "acancel"])
def test_who_has_cancelled_is_told_so(room: Room, app: Distq, proxy: Proxy, is_async: bool) -> None:
    handle = app.tasks["job"].delay(1)
    with lost_reply(proxy, room, "cancel"):
        assert asyncio.run(handle.acancel()) if is_async else handle.cancel()
    assert not handle.cancel(), "somebody has cancelled it before"
    assert room.ledger() == {"enqueued job": 1, "cancelled job": 1}


@pytest.mark.parametrize("is_async", [False, True], ids=["reschedule", "areschedule"])
def test_who_has_rescheduled_is_told_so(room: Room, app: Distq, proxy: Proxy, is_async: bool) -> None:
    handle = app.result(app.tasks["job"].delay(1).id)
    with lost_reply(proxy, room, "reschedule"):
        asyncio.run(handle.areschedule(delay=60)) if is_async else handle.reschedule(delay=60)
    assert (handle.status(), room.ledger()["rescheduled job"]) == ("scheduled", 1)
    with pytest.raises(UnknownTask):
        app.result("nobody").reschedule(delay=60)
    handle.cancel()
    with pytest.raises(NotWaiting, match="it has ended"):
        handle.reschedule(priority="high")


def test_who_pauses_resumes_and_limits_is_told_so(room: Room, app: Distq, proxy: Proxy) -> None:
    def limit() -> bool:
        app.limits.set("job", rate="10/s")
        return True

    changes: list[tuple[str, Callable[[], bool]]] = [
        ("pause", lambda: app.pause(queue="default")),
        ("resume", lambda: app.resume(queue="default")),
        ("pause", lambda: app.pause(type="job")),
        ("resume", lambda: app.resume(type="job")),
        ("override", limit),
        ("override", lambda: app.limits.clear("job")),
    ]
    for verb, change in changes:
        with lost_reply(proxy, room, verb):
            assert change(), verb
