"""Bytes that nobody of ours has written: they end as dead letters, or wait; nobody stops for them."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import time
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from distq import Distq, DistqError
from distq.broker import inspect, verbs
from distq.cli import dlq, full, output
from distq.codec import Codec
from distq.facts import dead_by_id, describe
from distq.worker.execute import Executor
from tests.support.room import Room, Worker

EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))
FEW = settings(
    max_examples=EXAMPLES or 50, deadline=None, database=None, derandomize=not EXAMPLES,
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

HEAD = struct.Struct(">ddIHBBBBB")
FLOATS = st.one_of(
    st.sampled_from([0.0, -1.0, math.inf, -math.inf, math.nan, 1e300, 1.7e12, 4e18]), st.floats(width=64)
)
U8 = st.integers(0, 255)
TYPES = st.one_of(
    st.sampled_from([b"job", b"job@2", b"!isolated", b"", b"\x1b[31mred", b"a b", b"\xff\xfe", b"x" * 255]),
    st.binary(max_size=20),
)
PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 5)), inner, max_size=3),
        st.builds(lambda code, value: msgpack.ExtType(code, msgpack.packb(value)), st.integers(0, 20), inner),
    ),
    max_leaves=6,
)  # fmt: skip
BODIES = st.one_of(
    PLAIN.map(msgpack.packb),
    st.lists(PLAIN, max_size=4).map(msgpack.packb),
    st.binary(max_size=30),
    st.sampled_from([b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x02", b"\x91\x90"]),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message, with anything in its fields; maybe cut off."""
    type = draw(TYPES)
    size = draw(st.one_of(st.just(len(type)), U8))
    raw = HEAD.pack(
        draw(FLOATS), draw(FLOATS), draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**16 - 1)), draw(U8),
        draw(U8), draw(U8), draw(U8), size,
    )  # fmt: skip
    whole = raw + type + draw(BODIES)
    return whole[: draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))]


ENTRIES = st.one_of(
    st.sampled_from([b"plain", b"\xff\xfe", b"a b c", b"", b" ", b"\x1b[2J", b"x" * 5000, b"id 7"]),
    st.binary(max_size=12),
)  # fmt: skip


def app_of(room: Room) -> Distq:
    app = Distq("app")
    app.rebind(room.url)

    @app.task
    def job(*args: Any, **kwargs: Any) -> None:
        return None

    return app


def drain(room: Room, worker: Worker, runs: Executor) -> None:
    """Everything that it is handed, as a worker runs it."""
    for _ in range(100):
        step = room.step(worker)
        if not step.entries:
            return
        done = []
        for entry, raw in zip(step.entries, step.messages, strict=True):
            done.append(runs.run_checked("default", entry, raw, 1, time.monotonic_ns())[1])
            runs.rest()
        assert room.step(worker, 0, done).word == "ok"
    raise AssertionError("it is handed the same again and again")


def look_at(app: Distq, id: str) -> None:
    """As the command line does."""
    facts = describe(app, id)
    output.print_json(facts)
    full.show(facts)


@pytest.mark.parametrize("how", ["a list", "the suspects", "delayed"])
def test_whatever_a_message_says_it_ends_or_waits_and_the_next_one_runs(room: Room, how: str) -> None:
    app = app_of(room)

    @FEW
    @given(entry=ENTRIES, raw=messages())
    def check(entry: bytes, raw: bytes) -> None:
        room.redis.flushdb()
        worker, runs = room.register(["job"]), Executor(app, lambda: "worker-1", None)
        room.redis.hset(room.key("TASKS"), entry, raw)
        if how == "delayed":
            room.redis.zadd(room.key("DELAYED"), {entry: 1})
            room.redis.hset(room.key("META"), "armed", "1")
        else:
            room.redis.rpush(room.key("QUEUE" if how == "a list" else "SUSPECTS", "default"), entry)
        next_one = room.enqueue(body=b"\x91\x90")
        drain(room, worker, runs)
        assert room.result(next_one)[0] == "completed"
        assert room.tick().is_keeper
        if room.redis.hexists(room.key("TASKS"), entry):  # it waits for a worker that knows it
            assert room.run(verbs.restore(room.prefix, [entry])) == 0
        for how_it_ends in ("died", "lost"):
            other = room.register(["job"], takes="only")
            room.redis.rpush(room.key("PROCESSING", other.name), entry)
            room.redis.hset(room.key("TASKS"), entry, raw)
            assert room.recover(other, how_it_ends, started=[entry]).word == "ok"
            room.redis.flushdb()
            room.register(["job"])

    check()
    room.redis.flushdb()


def test_whatever_is_kept_of_a_task_can_be_looked_at(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_of(room)

    @FEW
    @given(raw=messages(), element=BODIES, records=st.lists(st.one_of(RECORDS, BODIES), max_size=3), at=FLOATS)
    def check(raw: bytes, element: bytes, records: list[bytes], at: float) -> None:
        room.redis.flushdb()
        id = "order-17"
        room.redis.hset(room.key("DEAD"), id, raw)
        room.redis.zadd(room.key("DEAD_LETTERS"), {id: 1 if math.isnan(at) else at})
        shelf = f"64:{10**9}"
        room.redis.zadd(room.key("SHELVES"), {shelf: 1})
        room.redis.hset(room.key("SHELF", shelf), id, element)
        for record in records:
            room.redis.rpush(room.key("ATTEMPTS", id), record)
        handle = app.result(id)
        assert isinstance(handle.status(), str)
        with contextlib.suppress(DistqError):
            handle.get(timeout=0)
        look_at(app, id)
        dlq._table(list(inspect.dead_letters(app.broker, "default", inspect.DeadFilter())))
        dlq._table(list(dead_by_id(app, id)))
        shown = capsys.readouterr().out
        assert not {c for c in shown if not c.isprintable()} - {"\n"}

    check()
    room.redis.flushdb()


RECORDS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(PLAIN, st.sampled_from(["\x1b[2J\u202e", "killed", "raised", 1e300, -1, math.inf]))
        for name in (
            "outcome", "type", "message", "traceback", "attempt", "delivery", "at", "seconds", "worker", "rss_kb",
            "status", "charged", "thread", "beside", "log", "cause", "signal",
        )
    },
).map(msgpack.packb)  # fmt: skip


def test_what_waits_and_cannot_be_read_can_be_looked_at(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_of(room)

    @FEW
    @given(raw=messages())
    def check(raw: bytes) -> None:
        room.redis.flushdb()
        room.redis.hset(room.key("TASKS"), "order-17", raw)
        room.redis.rpush(room.key("QUEUE", "default"), "order-17")
        look_at(app, "order-17")
        shown = capsys.readouterr().out
        assert not {c for c in shown if not c.isprintable()} - {"\n"}
        with contextlib.suppress(DistqError):
            app.result("order-17").get(timeout=0)
        assert app.result("order-17").cancel()

    check()
    room.redis.flushdb()


def test_entries_without_message_and_messages_without_entry_hold_nobody_up(room: Room) -> None:
    app = app_of(room)
    worker, runs = room.register(["job"]), Executor(app, lambda: "worker-1", None)
    for number in range(50):
        room.redis.rpush(room.key("QUEUE", "default"), f"ghost-{number}")
        room.redis.hset(room.key("TASKS"), f"stray-{number}", b"\xff" * number)
    id = room.enqueue(body=Codec().pack_call((), {}))
    drain(room, worker, runs)
    assert room.result(id)[0] == "completed"
    assert room.run(verbs.restore(room.prefix, [f"stray-{number}".encode() for number in range(50)])) == 50
    drain(room, worker, runs)
    waiting = {entry.decode() for entry in room.redis.hkeys(room.key("TASKS"))}
    assert {room.where(f"stray-{number}") for number in range(50) if f"stray-{number}" not in waiting} == {"dead"}
    assert all(room.where(entry) == "queued" for entry in waiting)
    room.redis.flushdb()
