"""Names of which one live task can have each: who gets them, and what sets them free."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
import pytest

from distq import message
from distq.broker import audit, keys, verbs
from distq.broker.broker import Broker
from distq.broker.verdicts import Verdicts
from tests.support import ticking
from tests.support.arrows import arrow
from tests.support.room import Room, Worker, buried, completed, released, retried, verdict
from tests.support.rules import check_rules

TYPES = ["job", "v2/job"]
DONE, START, TIME = {"u": "a"}, {"s": "a"}, {"t": "a"}
HOUR = 3_600_000


def ask(room: Room, name: dict[str, str], id: str | None = None, **options: Any) -> tuple[str, str]:
    """The id of a call with this name, and of the task that stands for it."""
    id = id or message.new_id(room.queue)
    options |= {"for": HOUR} if "t" in name else {}
    [word] = room.send(id, key=name, unique=True, **options)
    return id, id if word in ("created", "duplicate") else word.removeprefix("first ")


def make(room: Room, name: dict[str, str], **options: Any) -> str:
    id, stands = ask(room, name, **options)
    assert id == stands, "it is a new task"
    return id


def nothing_is_left(room: Room) -> None:
    assert not room.redis.exists(*(room.key(name) for name in ("UNIQUES", "NAMED", "UNSTARTED")))


# -- each state against each policy ---------------------------------------------------------------------------------


def queued(room: Room, name: dict[str, str]) -> str:
    return make(room, name)


def scheduled(room: Room, name: dict[str, str]) -> str:
    return make(room, name, delay=HOUR)


def running(room: Room, name: dict[str, str]) -> str:
    id = make(room, name)
    room.hold(room.register(TYPES), id)
    return id


def waiting_again(room: Room, name: dict[str, str]) -> str:
    id = make(room, name)
    worker = room.register(TYPES)
    room.step(worker, want=0, verdicts=[retried(room.hold(worker, id), HOUR)])
    return id


def suspect(room: Room, name: dict[str, str]) -> str:
    id = make(room, name)
    worker = room.register(TYPES)
    room.recover(worker, "died", started=[room.hold(worker, id).encode()])
    return id


STATES = [queued, scheduled, running, waiting_again, suspect]
IS_STARTED = {running, waiting_again, suspect}
Make = Callable[[Room, dict[str, str]], str]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("name", [DONE, START, TIME], ids=["done", "start", "time"])
def test_a_second_call_means_the_first_ones_task(room: Room, state: Make, name: dict[str, str]) -> None:
    first = state(room, name)
    id, stands = ask(room, name)
    if name is START and state in IS_STARTED:
        assert stands == id, "it has started: this is a new one"
        assert ask(room, name)[1] == id
    else:
        assert stands == first
        assert room.redis.hlen(room.key("TASKS")) == 1
    make(room, {next(iter(name)): "another"})


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("name", [DONE, START], ids=["done", "start"])
def test_a_call_that_replaces(room: Room, state: Make, name: dict[str, str]) -> None:
    first = state(room, name)
    new = make(room, name, replace=True)
    if state is running or (name is START and state in IS_STARTED):
        assert room.where(first) != "cancelled", "what has started is left"
    else:
        assert room.where(first) == "cancelled"
        assert room.result(first)[1]["by"] == f"replaced by {new}"
    assert room.where(new) == "queued"
    assert ask(room, name)[1] == new


@arrow("queued", "cancelled", "enqueue")
def test_what_is_ready_is_replaced(room: Room) -> None:
    first = make(room, DONE)
    worker = room.register(TYPES)
    new = make(room, DONE, replace=True)
    assert room.where(first) == "cancelled"
    room.hold(worker, new)
    assert room.ledger()["cancelled job"] == 1


@arrow("scheduled", "cancelled", "enqueue")
def test_what_is_scheduled_is_replaced(room: Room) -> None:
    first = make(room, DONE, delay=HOUR, expires_in=2 * HOUR)
    new = make(room, DONE, replace=True, delay=HOUR)
    assert room.where(first) == "cancelled"
    assert [entry.decode() for entry in room.redis.zrange(room.key("DELAYED"), 0, -1)] == [new]
    assert not room.redis.exists(room.key("DEADLINES"))


# -- what sets a name free ------------------------------------------------------------------------------------------


def complete(room: Room, worker: Worker, id: str) -> None:
    room.step(worker, want=0, verdicts=[completed(room.hold(worker, id))])


def complete_again(room: Room, worker: Worker, id: str) -> None:
    room.step(worker, want=0, verdicts=[retried(room.hold(worker, id), 0)])
    entry = room.hold(worker, id)
    room.step(worker, want=0, verdicts=[verdict(entry, "complete_again", number=60_000, blob=b"\x91\xa9completed")])


def bury(room: Room, worker: Worker, id: str) -> None:
    room.step(worker, want=0, verdicts=[buried(room.hold(worker, id))])


def cancel(room: Room, worker: Worker, id: str) -> None:
    assert room.cancel(id) == "cancelled"


def cancel_running(room: Room, worker: Worker, id: str) -> None:
    entry = room.hold(worker, id)
    assert room.run(verbs.cancel(room.prefix, id, "test", "running")) == "ordered"
    room.step(worker, want=0, verdicts=[retried(entry)])
    assert room.where(id) == "cancelled"


def purge(room: Room, worker: Worker, id: str) -> None:
    assert room.run(verbs.purge(room.prefix, "default", "test")) == 1


def expire(room: Room, worker: Worker, id: str) -> None:
    raw = room.redis.hget(room.key("TASKS"), id)
    room.redis.hset(room.key("TASKS"), id, raw[:8] + b"\x3f\xf0" + bytes(6) + raw[16:])  # expires at 1 ms
    room.redis.zadd(room.key("DEADLINES"), {id: 1})
    room.redis.hset(room.key("META"), "armed", 1)
    room.tick()
    assert room.where(id) == "expired"


def killed(room: Room, worker: Worker, id: str) -> None:
    room.recover(worker, "died", started=[room.hold(worker, id).encode()], max_deliveries=1)
    assert room.where(id) == "dead"


def settled_by_its_supervisor(room: Room, worker: Worker, id: str) -> None:
    entry = room.hold(worker, id)
    items = Verdicts(1, completed(entry))
    room.run(verbs.settle(room.prefix, worker.name, 1, items))


ENDINGS = [
    complete, complete_again, bury, cancel, cancel_running, purge, expire, killed, settled_by_its_supervisor,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("name", [DONE, START], ids=["done", "start"])
def test_every_ending_sets_it_free_and_leaves_nothing(
    room: Room, end: Callable[[Room, Worker, str], None], name: dict[str, str]
) -> None:
    id = make(room, name)
    end(room, room.register(TYPES), id)
    assert room.where(id) in ("completed", "dead", "cancelled", "expired")
    nothing_is_left(room)
    make(room, name)


def test_until_it_starts_means_until_it_is_handed_over(room: Room) -> None:
    first = make(room, START)
    worker = room.register(TYPES)
    entry = room.hold(worker, first)
    nothing_is_left(room)
    room.step(worker, want=0, verdicts=released([entry]))
    second = make(room, START)
    assert room.where(first) == room.where(second) == "queued"


def test_until_it_starts_also_where_a_worker_takes_it_beside_lanes(room: Room) -> None:
    worker = room.register([*TYPES, "slow"], limits={"slow": "1000 1"})
    id = make(room, START)
    room.hold(worker, id)
    nothing_is_left(room)


def test_who_lost_its_message_in_another_way_has_no_name(room: Room) -> None:
    """An older release ended it, or somebody deleted it: it counts as gone, and the audit removes what is left."""
    first = make(room, DONE)
    room.redis.hdel(room.key("TASKS"), first)
    room.redis.sadd(room.key("GHOSTS", "default"), first)
    room.redis.hset(room.key("LEDGER"), "cancelled job", 1)
    second = make(room, DONE)
    assert room.redis.hget(room.key("UNIQUES"), "job a").decode() == second
    found = audit.audit(Broker("app", room.url, 5), "default")
    assert found.numbers() == {"name": 1}
    audit.audit(Broker("app", room.url, 5), "default", repair=True)
    assert audit.audit(Broker("app", room.url, 5), "default").is_balanced


def test_a_worker_that_is_lost_leaves_the_name_with_the_task(room: Room) -> None:
    id = make(room, DONE)
    worker = room.register(TYPES)
    room.hold(worker, id)
    room.recover(worker, "lost")
    assert ask(room, DONE)[1] == id
    assert room.cancel(id) == "cancelled"
    nothing_is_left(room)


# -- dead letters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DONE, START], ids=["done", "start"])
def test_a_replayed_one_has_its_name_again_if_that_is_free(room: Room, name: dict[str, str]) -> None:
    first = make(room, name)
    worker = room.register(TYPES)
    bury(room, worker, first)
    assert room.run(verbs.replay(room.prefix, [first])) == ["replayed"]
    assert ask(room, name)[1] == first


def test_a_replayed_one_lives_without_its_name_if_another_has_it(room: Room) -> None:
    first = make(room, DONE)
    worker = room.register(TYPES)
    bury(room, worker, first)
    second = make(room, DONE)
    assert room.run(verbs.replay(room.prefix, [first])) == ["replayed"]
    assert ask(room, DONE)[1] == second
    assert room.cancel(first) == "cancelled"
    assert ask(room, DONE)[1] == second, "it is the second one's"


# -- repeated calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DONE, START, TIME], ids=["done", "start", "time"])
@pytest.mark.parametrize("options", [{}, {"replace": True}], ids=["return", "replace"])
def test_a_call_that_is_sent_again_is_no_duplicate_of_itself(
    room: Room, name: dict[str, str], options: dict[str, Any]
) -> None:
    options = {} if name is TIME else options
    id = make(room, name, **options)
    before = room.snapshot()
    assert ask(room, name, id, **options) == (id, id)
    assert room.snapshot() == before
    worker = room.register(TYPES)
    complete(room, worker, id)
    assert ask(room, name, id, **options) == (id, id), "also when it has ended"
    assert room.where(id) == "completed"


def test_a_given_id_has_a_name_too(room: Room) -> None:
    id = make(room, DONE, id="mine", token="1")
    assert ask(room, DONE, "mine", token="1") == ("mine", "mine"), "a resend"
    assert ask(room, DONE, "yours", token="2") == ("yours", id)
    assert room.where("yours") == "none"
    new = make(room, DONE, id="yours", token="3", replace=True)
    assert room.where("mine") == "cancelled"
    assert ask(room, DONE)[1] == new
    assert make(room, DONE, id="mine", token="4", replace=True) == "mine", "under another generation"


# -- many -----------------------------------------------------------------------------------------------------------


def send_many(room: Room, names: list[dict[str, str]], ids: list[str], **options: Any) -> list[str]:
    messages = [message.head("job", 1, 600, 0, msgpack.packb(name)) + b"\x91\x90" for name in names]
    options = {"unique": True, **options}
    front = verbs.enqueue_front(room.prefix, "job", 1, verbs.enqueue_options(options))
    return [word.decode() for word in room.run(verbs.enqueue(front, ids, messages)) if isinstance(word, bytes)]


def test_in_one_call_the_first_of_a_name_stands_for_the_others(room: Room) -> None:
    ids = message.new_ids(room.queue, 4)
    names = [{"u": "a"}, {"u": "b"}, {"u": "a"}, {}]
    assert send_many(room, names, ids) == ["created", "created", f"first {ids[0]}", "created"]
    assert send_many(room, names[:2], message.new_ids(room.queue, 2)) == [f"first {ids[0]}", f"first {ids[1]}"]


def test_in_one_call_the_last_of_a_name_replaces_the_others(room: Room) -> None:
    ids = message.new_ids(room.queue, 3)
    assert send_many(room, [DONE] * 3, ids, replace=True) == ["created"] * 3
    assert [room.where(id) for id in ids] == ["cancelled", "cancelled", "queued"]
    assert room.result(ids[0])[1]["by"] == f"replaced by {ids[1]}"


# -- beside other rules ---------------------------------------------------------------------------------------------


def test_versions_of_a_type_share_their_names(room: Room) -> None:
    first = make(room, DONE)
    assert ask(room, DONE, type="job@2")[1] == first
    assert ask(room, DONE, type="other")[1] != first


def test_with_a_rate_and_a_retry_it_stays_in_the_lane_of_its_type(room: Room) -> None:
    limit = "3600000000 1"
    first, second = make(room, DONE, limit=limit), make(room, {"u": "b"}, limit=limit)
    worker = room.register(TYPES, limits={"job": limit})
    assert room.hold(worker, first) == first
    room.step(worker, want=0, verdicts=[retried(first, 0)])
    assert room.step(worker).entries == [], "the next token is in an hour"
    assert room.where(first) == room.where(second) == "queued"


def test_with_a_flow(room: Room) -> None:
    flow = msgpack.packb({"mk": 1})
    first = make(room, {"k": "x", "u": "a"}, flow=flow)
    second = make(room, {"k": "x", "u": "b"}, flow=flow)
    assert ask(room, {"k": "x", "u": "a"}, flow=flow)[1] == first
    worker = room.register(TYPES, flows={"job": {"mk": 1}})
    assert room.hold(worker, first) == first
    third = make(room, {"k": "x", "u": "b"}, flow=flow, replace=True)
    assert room.where(second) == "cancelled"
    assert [entry.decode() for entry in room.step(worker, verdicts=[completed(first)]).entries] == [third]


def test_a_tick_of_a_schedule_has_its_name_and_is_skipped_where_another_has_it(room: Room) -> None:
    ticking.create(room, told=DONE)
    first = ticking.tick(room)
    assert ask(room, DONE)[1] == first
    ticking.tick(room)
    assert ticking.words(room) == ["skipped", "fired"]
    complete(room, room.register(TYPES), first)
    nothing_is_left(room)
    other = make(room, DONE)
    ticking.tick(room)
    assert ask(room, DONE)[1] == other
    assert room.redis.hlen(room.key("TASKS")) == 1


@pytest.mark.parametrize("name", [{"u": 7}, {"u": "x" * 201}, {"u": None}])
def test_what_is_no_name_is_none(room: Room, name: dict[str, Any]) -> None:
    make(room, name)
    make(room, name)
    nothing_is_left(room)
    assert room.redis.hlen(room.key("TASKS")) == 2


# -- for a time -----------------------------------------------------------------------------------------------------


def test_for_a_time_whatever_becomes_of_the_task(room: Room) -> None:
    first = make(room, TIME)
    assert room.cancel(first) == "cancelled"
    assert ask(room, TIME)[1] == first
    assert HOUR - 60_000 < room.redis.pttl(room.key("ONCE", "job a")) <= HOUR + 5
    nothing_is_left(room)
    room.redis.pexpire(room.key("ONCE", "job a"), -1)
    assert make(room, TIME) != first


# -- debounced ------------------------------------------------------------------------------------------------------


def bounce(room: Room, body: bytes, id: str | None = None, **options: Any) -> tuple[str, str]:
    return ask(room, START, id, body=body, **{"debounce": True, "delay": HOUR, **options})


def due(room: Room, id: str) -> float:
    return float(room.redis.zscore(room.key("DELAYED"), id)) - room.now_ms()


def test_the_last_arguments_win_and_the_time_begins_anew(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01")
    assert HOUR - 60_000 < due(room, first) <= HOUR + 5
    room.pass_time(HOUR // 2)
    assert bounce(room, b"\x91\x91\x02")[1] == first
    assert HOUR - 60_000 < due(room, first) <= HOUR + 5
    assert room.head(first).body == b"\x91\x91\x02"
    assert room.head(first).created_ms < room.now_ms() - HOUR / 3, "since its first call"
    room.pass_time(HOUR)
    worker = room.register(TYPES)
    room.hold(worker, first)
    nothing_is_left(room)
    assert bounce(room, b"\x91\x91\x03")[1] != first, "it was handed over: a new one"


def test_not_for_longer_than_the_maximum(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01", debounce_max=2 * HOUR)
    for number in (2, 3, 4):
        room.pass_time(HOUR * 2 // 3 - 1000)
        assert bounce(room, b"\x91\x91" + bytes([number]), debounce_max=2 * HOUR)[1] == first
        assert due(room, first) <= min(HOUR, 2 * HOUR - (number - 1) * (HOUR * 2 // 3 - 1000)) + 5
    assert due(room, first) < 60_000
    assert room.head(first).body == b"\x91\x91\x04"


def test_what_is_ready_takes_the_arguments_where_it_is(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01", priority=1)
    room.pass_time(HOUR)
    room.tick()
    assert room.where(first) == "queued"
    assert bounce(room, b"\x91\x91\x02", priority=2)[1] == first
    assert room.where(first) == "queued"
    assert (room.head(first).body, room.head(first).priority) == (b"\x91\x91\x02", 1)


def test_a_debounced_call_that_is_sent_again_changes_nothing(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01")
    second, _ = bounce(room, b"\x91\x91\x02")
    bounce(room, b"\x91\x91\x03")
    assert bounce(room, b"\x91\x91\x02", second) == (second, first)
    assert room.head(first).body == b"\x91\x91\x03"
    room.pass_time(HOUR)
    complete(room, room.register(TYPES), first)
    assert bounce(room, b"\x91\x91\x02", second) == (second, first), "it has run with what came after it"
    assert bounce(room, b"\x91\x91\x01", first) == (first, first)
    assert room.redis.hlen(room.key("TASKS")) == 0


def test_debounced_in_one_call(room: Room) -> None:
    ids = message.new_ids(room.queue, 3)
    assert send_many(room, [START] * 3, ids, debounce=True, delay=HOUR) == ["created", *[f"first {ids[0]}"] * 2]
    assert room.where(ids[0]) == "scheduled"


def test_arguments_of_another_version_replace_the_task(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01")
    second, stands = bounce(room, b"\x91\x91\x02", type="job@2")
    assert second == stands
    assert (room.where(first), room.where(second)) == ("cancelled", "scheduled")


def test_its_deadline_moves_with_it(room: Room) -> None:
    first, _ = bounce(room, b"\x91\x91\x01", expires_in=2 * HOUR)
    room.pass_time(HOUR // 2)
    bounce(room, b"\x91\x91\x02", expires_in=2 * HOUR)
    assert room.redis.zscore(room.key("DEADLINES"), first) > room.now_ms() + 1.9 * HOUR
    bounce(room, b"\x91\x91\x03")
    assert room.redis.zscore(room.key("DEADLINES"), first) is None


# -- against a model ------------------------------------------------------------------------------------------------


class Model:
    """The rule in plain Python: who has which name, and where it is."""

    def __init__(self) -> None:
        self.holder: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.until: dict[str, str] = {}
        self.name: dict[str, str] = {}

    def call(self, id: str, name: str, until: str, replace: bool) -> str:
        first = self.holder.get(name)
        if first is not None and not replace:
            return first
        if first is not None and self.state[first] == "waiting":
            self.end(first)
        self.holder[name] = id
        self.state[id], self.until[id], self.name[id] = "waiting", until, name
        return id

    def end(self, id: str) -> None:
        self.state[id] = "over"
        if self.holder.get(self.name[id]) == id:
            del self.holder[self.name[id]]

    def hand_over(self, id: str) -> None:
        self.state[id] = "running"
        if self.until[id] == "s" and self.holder.get(self.name[id]) == id:
            del self.holder[self.name[id]]

    def replay(self, id: str) -> None:
        self.state[id] = "waiting"
        self.holder.setdefault(self.name[id], id)

    def those(self, state: str) -> list[str]:
        return [id for id, found in self.state.items() if found == state]


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_does_what_the_model_says(room: Room, seed: int) -> None:
    random, model, dead = Random(seed), Model(), list[str]()
    worker = room.register(TYPES)
    held: dict[str, str] = {}
    for _ in range(80):
        match random.choice(["call", "call", "call", "step", "complete", "retry", "bury", "cancel", "replay", "die"]):
            case "call":
                name, until = random.choice("abc"), random.choice("us")
                replace, delay = random.random() < 0.3, random.choice([0, 0, HOUR])
                id = message.new_id(room.queue)
                said = {"replace": True} if replace else {}
                expected = model.call(id, name, until, replace)
                assert ask(room, {until: name}, id, delay=delay, **said) == (id, expected)
            case "step":
                for raw in room.step(worker, want=2).entries:
                    id = keys.id_of(raw.decode())
                    held[id] = raw.decode()
                    model.hand_over(id)
            case "complete" | "retry" | "bury" as what if held:
                id, entry = held.popitem()
                end = {"complete": completed, "retry": lambda e: retried(e, 0), "bury": buried}[what](entry)
                room.step(worker, want=0, verdicts=[end])
                if what == "retry":
                    model.state[id] = "waiting"
                else:
                    model.end(id)
                    dead += [id] if what == "bury" else []
            case "cancel" if waiting := model.those("waiting"):
                id = random.choice(waiting)
                assert room.cancel(id) == "cancelled"
                model.end(id)
            case "replay" if dead:
                id = dead.pop()
                assert room.run(verbs.replay(room.prefix, [id])) == ["replayed"]
                model.replay(id)
            case "die" if held:
                room.recover(worker, "left")
                for id in held:
                    model.state[id] = "waiting"
                held.clear()
                worker = room.register(TYPES)
        names = room.redis.hgetall(room.key("UNIQUES"))
        found = {name.decode().partition(" ")[2]: keys.id_of(raw.decode()) for name, raw in names.items()}
        assert found == model.holder
    check_rules(room)
