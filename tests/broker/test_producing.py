"""Calls on their way to the broker: what travels together, and what becomes of it when something goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from distq import Distq
from distq.broker import verbs
from distq.broker.connect import Wire
from distq.errors import BrokerFull, BrokerUnavailable, NotSerializable, PayloadTooLarge
from distq.message import head, new_id
from distq.sender import BULK
from distq.task import Task
from tests.support.room import Room

NUMBER = 2 * BULK + 17


@pytest.fixture
def app(room: Room) -> Iterator[Distq]:
    app = Distq("test", room.url, timeout=2)
    room.prefix = app.broker.prefix("default")
    yield app
    room.redis.delete("distq:queues")


@pytest.fixture
def job(app: Distq) -> Task[Any, None, None]:
    @app.task(type="job")
    def job(number: Any, other: Any = None) -> None: ...

    return job


def waiting(room: Room) -> list[str]:
    return room.lists().get(room.key("QUEUE", "default"), [])


def arguments(room: Room) -> list[Any]:
    """The first argument of all that waits, in order."""
    return [msgpack.unpackb(room.head(id).body)[0][0] for id in waiting(room)]


def script_calls(room: Room) -> int:
    said = room.redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0, "failed_calls": 0})
    return int(said["calls"]) - int(said["failed_calls"])


def test_a_bulk_waits_in_the_order_of_its_calls(room: Room, job: Task[Any, None, None]) -> None:
    handles = job.delay_many((n,) for n in range(NUMBER))
    assert isinstance(handles, list)
    assert waiting(room) == [handle.id for handle in handles]
    assert arguments(room) == list(range(NUMBER))
    assert all(handle.created for handle in handles)
    assert room.ledger() == {"enqueued job": NUMBER}


def test_a_bulk_takes_one_script_call_for_so_many_messages(room: Room, job: Task[Any, None, None]) -> None:
    job.delay(0)
    room.redis.config_resetstat()
    job.delay_many((n,) for n in range(NUMBER))
    assert script_calls(room) == 3


def test_a_bulk_takes_one_script_call_for_about_so_many_bytes(room: Room, job: Task[Any, None, None]) -> None:
    job.delay(0)
    room.redis.config_resetstat()
    job.delay_many((b"x" * 600_000,) for _ in range(5))
    assert script_calls(room) == 3


def test_a_bulk_of_nothing_is_nothing(room: Room, job: Task[Any, None, None]) -> None:
    assert job.delay_many([]) == []
    assert waiting(room) == []


def test_a_bulk_of_one_is_one(room: Room, job: Task[Any, None, None]) -> None:
    (handle,) = job.delay_many([(1,)])
    assert waiting(room) == [handle.id]


def test_calls_of_a_bulk_may_be_tuples_lists_and_mappings(room: Room, job: Task[Any, None, None]) -> None:
    calls: list[Any] = [(1,), [2], {"number": 3}, (4, 5)]
    job.delay_many(calls)
    bodies = [msgpack.unpackb(room.head(id).body) for id in waiting(room)]
    assert bodies == [[[1]], [[2]], [[], {"number": 3}], [[4, 5]]]


@pytest.mark.parametrize("options", [{"delay": 3600}, {"expires": 3600}, {"priority": "low"}, {"headers": {"a": 1}}])
def test_a_bulk_with_options_is_the_same_as_so_many_calls(
    room: Room, job: Task[Any, None, None], options: dict[str, Any]
) -> None:
    sender = job.options(**options)
    alone, *many = [sender.delay(1), *sender.delay_many([(1,), (1,), (1,)])]
    said = room.head(alone.id)._replace(created_ms=0, expires_ms=0)
    for handle in many:
        assert room.head(handle.id)._replace(created_ms=0, expires_ms=0) == said
        assert room.where(handle.id) == room.where(alone.id)
        assert (room.head(handle.id).expires_ms > 0) == ("expires" in options)


@pytest.mark.parametrize("reply", [1, 2, 3])
def test_a_bulk_whose_reply_is_lost_is_sent_again_and_changes_nothing(
    room: Room, job: Task[Any, None, None], monkeypatch: pytest.MonkeyPatch, reply: int
) -> None:
    """The broker has done it, and the connection ends before the client hears of it."""
    job.delay(0)
    read, seen = Wire._read, []

    def lossy(wire: Wire, until: float) -> Any:
        got = read(wire, until)
        seen.append(got)
        if len(seen) == reply:
            wire.close()
            raise BrokerUnavailable("lost on the wire")
        return got

    monkeypatch.setattr(Wire, "_read", lossy)
    handles = job.delay_many((n,) for n in range(1, NUMBER))
    assert len(seen) == 4
    assert arguments(room) == list(range(NUMBER))
    assert [handle.id for handle in handles] == waiting(room)[1:]
    assert room.ledger() == {"enqueued job": NUMBER}


def test_an_error_of_the_programs_own_iterator_leaves_what_was_sent(room: Room, job: Task[Any, None, None]) -> None:
    def calls() -> Iterator[tuple[int]]:
        yield from ((n,) for n in range(BULK + 5))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        job.delay_many(calls())
    assert arguments(room) == list(range(BULK))
    job.delay(BULK)
    assert arguments(room) == list(range(BULK + 1)), "the connection was left with a reply on it"


def test_an_iterator_may_call_tasks_itself(room: Room, job: Task[Any, None, None]) -> None:
    def calls() -> Iterator[tuple[int]]:
        for n in range(NUMBER):
            if n % BULK == 1:
                job.delay(-n)
            yield (n,)

    job.delay_many(calls())
    assert sorted(arguments(room)) == sorted([*range(NUMBER), -1, -1 - BULK, -1 - 2 * BULK])


@pytest.mark.parametrize(
    ("bad", "error", "told"),
    [
        (7, TypeError, "call 3 is int"),
        ((), TypeError, r"job\(\): missing a required argument: 'number'"),
        ((1, 2, 3), TypeError, r"job\(\): too many positional arguments"),
        ({"nobody": 1}, TypeError, r"job\(\): "),
        (({"a": object()},), NotSerializable, r"args\[0\].a: object is not serializable"),
        ((b"x" * (1 << 21),), PayloadTooLarge, "job: a message of 2097"),
    ],
)
def test_a_call_that_cannot_travel_is_refused_with_its_reason(
    room: Room, job: Task[Any, None, None], bad: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        job.delay_many([(0,), (1,), (2, 2), bad, (4,)])
    assert waiting(room) == []


def test_a_bulk_into_a_broker_that_becomes_full_keeps_what_went_before(room: Room, job: Task[Any, None, None]) -> None:
    def calls() -> Iterator[tuple[int]]:
        for n in range(NUMBER):
            if n == 2 * BULK - 1:  # the first round trip is over, the second is being packed
                room.redis.config_set("maxmemory", 1)
            yield (n,)

    try:
        with pytest.raises(BrokerFull):
            job.delay_many(calls())
    finally:
        room.redis.config_set("maxmemory", 0)
    assert arguments(room) in (list(range(BULK)), [])
    assert room.ledger().get("enqueued job", 0) == len(waiting(room))


def test_calls_of_coroutines_travel_together_by_their_options(
    room: Room, app: Distq, job: Task[Any, None, None]
) -> None:
    """Also those whose ids the user gave: a call of the script has one token."""

    @app.task(type="other")
    def other(number: int) -> None: ...

    async def calls() -> list[bool]:
        await job.adelay(-1)
        room.redis.config_resetstat()
        handles = await asyncio.gather(
            *(job.adelay(n) for n in range(9)),
            *(other.adelay(n) for n in range(9)),
            *(job.options(id=f"mine-{n % 5}").adelay(n) for n in range(9)),
        )
        return [handle.created for handle in handles]

    assert asyncio.run(calls()) == [True] * 18 + [True] * 5 + [False] * 4
    assert script_calls(room) == 3
    assert room.ledger() == {"enqueued job": 15, "enqueued other": 9}


@pytest.mark.parametrize("ttl", [37, 9509, 600])
@pytest.mark.parametrize("type", ["a", "p" * 37])
@pytest.mark.parametrize("options", [{}, {"delay": 37}, {"limit": "100 1"}])
def test_the_form_of_a_call_is_the_call(ttl: int, type: str, options: dict[str, Any]) -> None:
    """Also where a byte of it is a per cent sign, as 37 is."""
    front = verbs.enqueue_front("distq:{test/default}:", type, 1, verbs.enqueue_options(options))
    id, start, body = new_id("default"), head(type, 1, ttl), msgpack.packb([[37, b"%b%%"]])
    form = verbs.enqueue_form(front, "default", start)
    filled = form % (id.partition(".")[2].encode(), len(start) + len(body), body)
    assert filled == verbs.enqueue_one(front, id, start + body)
