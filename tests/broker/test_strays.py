"""strays and the audit: each kind of what no script leaves so is found, and mended if it can be; nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from distq.broker import keys, ledger
from distq.broker.audit import Findings, audit
from distq.broker.broker import Broker
from distq.broker.inventory import TYPES
from distq.broker.strays import KINDS
from distq.message import parse
from tests.support import states, ticking
from tests.support.room import Room, Worker, verdict


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distq.broker.audit.PAUSE_S", 0.01)


def look(room: Room, repair: bool = False) -> Findings:
    return audit(Broker(room.app, room.url, 5.0), room.queue, repair)


def lost(room: Room) -> str:
    id = room.enqueue()
    room.redis.delete(room.key("QUEUE", "default"), room.key("WAKE"))
    return id


def twice(room: Room) -> str:
    id, _ = states.held(room)
    room.redis.rpush(room.key("QUEUE", "default"), id)
    room.redis.zadd(room.key("WAKE"), {"w": 0})
    return id


def twice_in_a_list(room: Room) -> str:
    id = room.enqueue()
    room.redis.rpush(room.key("QUEUE", "default"), room.enqueue(), id)
    room.redis.lrem(room.key("QUEUE", "default"), 1, room.redis.lindex(room.key("QUEUE", "default"), 1))
    return id


def scheduled_and_ready(room: Room) -> str:
    id = room.enqueue(delay=3_600_000)
    room.redis.rpush(room.key("QUEUE", "default"), id)
    room.redis.zadd(room.key("WAKE"), {"w": 0})
    return id


def over(room: Room) -> str:
    room.redis.rpush(room.key("QUEUE", "low"), "nobody")
    room.redis.zadd(room.key("WAKE"), {"w": 0})
    return "nobody"


def over_and_delayed(room: Room) -> str:
    room.enqueue(delay=1_000)
    room.redis.zadd(room.key("DELAYED"), {"nobody": room.now_ms() + 3_600_000})
    return "nobody"


def ghost(room: Room) -> str:
    room.redis.sadd(room.key("GHOSTS", "high"), "nobody")
    return "nobody"


def ghost_that_lives(room: Room) -> str:
    id = room.enqueue()
    room.redis.sadd(room.key("GHOSTS", "default"), id)
    return id


def generation(room: Room) -> str:
    room.redis.hset(room.key("GENERATIONS"), "mine", "mine 17")
    return "mine"


def nameless(room: Room) -> str:
    room.enqueue(id="mine", token="1")
    room.cancel("mine")
    room.enqueue(id="mine", token="2")
    entry = room.entry_of("mine")
    room.redis.delete(room.key("GENERATIONS"))
    return entry


def name_of_nobody(room: Room) -> str:
    room.redis.hset(room.key("UNIQUES"), "job a", "gone")
    return "job a"


def nobody_with_a_name(room: Room) -> str:
    room.redis.hset(room.key("UNSTARTED"), "gone", "job a")
    return "gone"


def deadline(room: Room) -> str:
    room.enqueue(expires_in=3_600_000)
    room.redis.zadd(room.key("DEADLINES"), {"nobody": room.now_ms() + 7_200_000})
    return "nobody"


def orphan(room: Room) -> str:
    _, worker = states.held(room)
    room.redis.delete(room.key("WORKER", worker.name))
    room.redis.zrem(room.key("LEASES"), worker.name)
    return worker.name


def orphan_with_a_name(room: Room) -> str:
    _, worker = states.held(room)
    room.redis.zrem(room.key("LEASES"), worker.name)
    return worker.name


def hidden_lane(room: Room) -> str:
    room.enqueue("mail", limit="1000000 1")
    room.redis.srem(room.key("LANES_AT", "default"), "mail")
    return "mail"


def lane_of_no_kind(room: Room) -> str:
    room.enqueue("mail", limit="1000000 1")
    room.redis.hdel(room.key("LANES"), "mail")
    return "mail"


def empty_lane(room: Room) -> str:
    room.redis.sadd(room.key("LANES_AT", "default"), "mail")
    return "mail"


def shelf(room: Room) -> str:
    states.completed_(room)
    [name] = room.redis.zrange(room.key("SHELVES"), 0, -1)
    room.redis.delete(room.key("SHELVES"))
    return str(name.decode())


def letter_without_a_message(room: Room) -> str:
    id = states.dead(room)
    states.dead(room)
    room.redis.hdel(room.key("DEAD"), id)
    room.forget_result(id)
    return id


def letter_without_a_time(room: Room) -> str:
    id = states.dead(room)
    room.redis.zrem(room.key("DEAD_LETTERS"), id)
    return id


def lasting(room: Room) -> str:
    id = states.dead(room)
    room.redis.persist(room.key("ATTEMPTS", id))
    return room.key("ATTEMPTS", id)


def wake(room: Room) -> str:
    room.enqueue()
    room.redis.delete(room.key("WAKE"))
    return ""


def wake_for_nothing(room: Room) -> str:
    room.redis.zadd(room.key("WAKE"), {"w": 0})
    return ""


def wake_alone(room: Room) -> str:
    _, worker = states.held(room)
    room.recover(worker, "lost")
    room.redis.delete(room.key("WAKE_ALONE"))
    return ""


def wake_group(room: Room) -> str:
    worker = room.register(["mail"])
    room.enqueue("mail", limit="1000000 1")
    room.redis.delete(room.key("WAKE_GROUP", worker.digest))
    return worker.digest


def does_not_tick(room: Room) -> str:
    ticking.create(room, "it")
    room.redis.zrem(room.key("FIRES"), "it")
    return "it"


def ticks_but_is_none(room: Room) -> str:
    room.redis.zadd(room.key("FIRES"), {"it": 10**13})
    room.redis.hset(room.key("META"), "armed", 10**13)
    return "it"


def is_not_listed(room: Room) -> str:
    ticking.create(room, "it")
    room.redis.srem(room.key("SCHEDULES"), "it")
    return "it"


def armed(room: Room) -> str:
    room.enqueue(delay=3_600_000)
    room.redis.hdel(room.key("META"), "armed")
    return ""


STRAYS: list[tuple[str, Callable[[Room], str]]] = [
    ("lost", lost), ("twice", twice), ("twice", twice_in_a_list), ("twice", scheduled_and_ready), ("over", over),
    ("over", over_and_delayed), ("ghost", ghost), ("ghost", ghost_that_lives), ("generation", generation),
    ("nameless", nameless), ("deadline", deadline), ("name", name_of_nobody),
    ("name", nobody_with_a_name), ("orphan", orphan), ("orphan", orphan_with_a_name),
    ("lane", hidden_lane), ("lane", lane_of_no_kind), ("lane", empty_lane), ("shelf", shelf),
    ("letter", letter_without_a_message), ("letter", letter_without_a_time), ("lasting", lasting), ("wake", wake),
    ("wake", wake_for_nothing), ("wake_alone", wake_alone), ("wake_group", wake_group), ("armed", armed),
    ("schedule", does_not_tick), ("schedule", ticks_but_is_none), ("schedule", is_not_listed),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "make"), STRAYS, ids=lambda value: getattr(value, "__name__", value))
def test_it_is_found_and_mended(room: Room, kind: str, make: Callable[[Room], str]) -> None:
    name = make(room)
    found = look(room)
    assert [(stray.kind, stray.name) for stray in found.strays if stray.kind == kind] == [(kind, name)]
    assert not found.is_balanced
    assert look(room, repair=True).mended[kind] == 1 or kind == "lost"
    found = look(room)
    assert (found.strays, found.difference, found.types) == ([], 0, {})


@pytest.mark.parametrize("write", ["nothing of ours", "a wrong type"])
def test_what_others_have_written_is_named_and_left_alone(room: Room, write: str) -> None:
    room.enqueue()
    name = room.key("META") + "x" if write == "nothing of ours" else room.key("SUSPECTS", "low")
    room.redis.set(name, "x")
    for repair in (False, True):
        found = look(room, repair)
        assert [stray.name for stray in found.strays if stray.kind in ("unknown", "kind")] == [name]
    assert room.redis.get(name) == b"x"
    if write == "a wrong type":
        assert found.numbers() == {"kind": 1}, "no script can read the rest"
    room.redis.delete(name)


def test_every_kind_has_such_a_test() -> None:
    assert {kind for kind, _ in STRAYS} | {"unknown", "kind"} == set(KINDS)
    assert set(TYPES) == set(keys.QUEUE_KEYS)


@pytest.mark.parametrize("state", states.all_but())
def test_a_task_in_any_state_is_in_its_place(room: Room, state: str) -> None:
    states.MAKE[state](room)
    room.enqueue("mail", limit="1000000 1")
    room.enqueue(expires_in=3_600_000)
    room.cancel(room.enqueue())
    found = look(room)
    assert (found.strays, found.difference, found.types) == ([], 0, {})
    assert found.is_balanced


def test_lost_and_added_messages_are_a_difference_that_a_repair_books(room: Room) -> None:
    for _ in range(3):
        room.enqueue()
    room.redis.hdel(room.key("TASKS"), *room.lists()[room.key("QUEUE", "default")][:2])
    found = look(room)
    assert (found.difference, found.types, found.numbers()) == (2, {"job": (3, 1)}, {"over": 2})
    look(room, repair=True)
    found = look(room)
    assert (found.strays, found.difference, found.types) == ([], 0, {})
    assert room.ledger()["corrected job"] == -2


def test_a_type_that_was_changed_is_said_and_is_no_imbalance(room: Room) -> None:
    id = room.enqueue()
    room.enqueue("mail")
    raw = room.redis.hget(room.key("TASKS"), id)
    room.redis.hset(room.key("TASKS"), id, raw.replace(b"\x03job", b"\x03job".replace(b"job", b"jab")))
    found = look(room)
    assert (found.types, found.is_balanced) == ({"job": (1, 0), "(other)": (0, 1)}, True)
    look(room, repair=True)
    assert look(room).types == {}


def test_long_lists_are_read_whole(room: Room) -> None:
    for number in range(2300):
        room.enqueue(delay=3_600_000 if number % 3 == 0 else 0)
    worker = room.register()
    room.step(worker, 120)
    found = look(room)
    assert (found.strays, found.difference, found.types) == ([], 0, {})
    room.redis.delete(room.key("QUEUE", "default"), room.key("WAKE"))
    number = room.redis.hlen(room.key("TASKS")) - ledger.placed(look(room).tally.depths)
    found = look(room, repair=True)
    assert found.numbers()["lost"] == number > MOST
    assert look(room).numbers().get("lost", 0) == number - MOST, "so many were confirmed, and mended"
    look(room, repair=True)
    assert look(room).is_balanced


MOST = 1000


def done(entry: bytes, message: bytes) -> bytes:
    return verdict(entry.decode(), "complete", type=parse(message).type, number=60_000, blob=b"\x91\xa9completed")


class Traffic:
    """Producers, a worker, cancellations, as fast as they can, until told to stop."""

    def __init__(self, room: Room) -> None:
        self._room, self._stop = room, threading.Event()
        self.error: BaseException | None = None
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in (self._produce, self._work)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.error:
            raise self.error

    def _run(self, part: Callable[[Room], Any]) -> None:
        room = Room(self._room.url)
        try:
            while not self._stop.is_set():
                part(room)
        except BaseException as error:
            self.error = error
        finally:
            room.close()

    def _produce(self, room: Room) -> None:
        ids = [room.enqueue("mail" if number % 2 else "job", priority=number % 3) for number in range(20)]
        room.cancel(ids[3])
        room.enqueue(delay=1)
        room.enqueue("job", id="mine", token=str(room.now_ms())) if room.look("mine").state == "unknown" else None

    def _work(self, room: Room) -> None:
        worker = Worker("traffic", "job_mail")
        if not room.redis.exists(room.key("WORKER", worker.name)):
            worker = room.register(["job", "mail"])
        step = room.step(worker, 40)
        for _ in range(20):
            step = room.step(worker, 40, [done(*pair) for pair in zip(step.entries, step.messages, strict=True)])
        room.recover(worker, "left")


def test_it_does_not_cry_wolf_while_the_queue_is_busy(room: Room) -> None:
    for _ in range(1500):
        room.enqueue(priority=0)
    with Traffic(room):
        for _ in range(3):
            found = look(room)
            assert (found.strays, found.difference, found.types, found.unconfirmed.total()) == ([], 0, {}, 0)
