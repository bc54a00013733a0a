"""Resumable tasks: steps that run once, rows that are not done twice, also when attempts fail or are interrupted."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from distq import Distq, DistqError, Interrupted, SoftTimeLimit, current
from distq.broker import memory
from distq.broker.scripts import script
from distq.codec import Codec
from distq.context import Context
from distq.memory import DESK
from distq.worker import board
from distq.worker.board import DRAIN, Board
from distq.worker.desk import Seat
from distq.worker.execute import Executor
from distq.worker.hand import Hand
from distq.worker.interrupt import Door
from tests.support.room import Room, Worker

codec = Codec()


class Bench:
    """An executor with a desk, as a worker has, moved by hand."""

    def __init__(self, room: Room, handler: Callable[..., Any], retries: int = 5) -> None:
        self.room = room
        self.app = Distq("app", broker=room.url)
        self.app.task(type="job", retries=retries, backoff=0)(handler)
        self.board = Board(1)
        self.slot = self.board.slots[0]
        self.slot.clear()
        self.hand = Hand(self.slot)
        self.rung: list[bytes] = []
        self.desk = Seat(self.board, self.slot, self.hand, 0, self.rung.append)
        DESK.set(self.desk)
        self.runs = Executor(self.app, lambda: self.worker.name, None, self.desk)
        self.begin_anew()

    def begin_anew(self) -> Worker:
        self.worker = self.room.register(["job"])
        self.hand.enter(self.worker.name, time.monotonic_ns() + 10**12)
        return self.worker

    def take(self) -> Any:
        step = self.room.step(self.worker, 1)
        assert len(step.entries) == 1
        now = time.monotonic_ns()
        self.hand.settled([(step.entries[0], step.messages[0], step.fence, 0, now)])
        return self.hand.start(0, now)

    def run(self) -> bytes:
        """One attempt of what is ready, from fetch to its verdict."""
        entry, raw, fence, _, now = self.take()
        _, verdict, end = self.runs.run("default", entry, raw, fence, now)
        self.hand.end(0, end, verdict)
        self.runs.rest()
        collected = self.hand.collect(0, self.worker.number)
        assert self.room.step(self.worker, 0, [collected.items]).late == 0
        self.hand.settled()
        return verdict

    def enqueue(self, *args: Any, **options: Any) -> str:
        return self.room.enqueue("job", body=codec.pack_call(args, {}), **options)

    def close(self) -> None:
        self.runs.close()
        DESK.set(None)


@pytest.fixture
def bench(room: Room) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: Any, **options: Any) -> Bench:
        made.append(Bench(room, *args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_step_runs_once_and_its_result_is_remembered(room: Room, bench: Callable[..., Bench]) -> None:
    calls: list[str] = []
    seen: list[Any] = []

    def charge(amount: int, *, currency: str) -> tuple[int, bytes]:
        calls.append(currency)
        return amount, b"receipt"

    def job() -> str:
        context = current()
        seen.append(context.step("charge", charge, 17, currency="EUR"))
        if context.attempt < 3:
            raise ValueError
        return str(context.step("ship", lambda: "shipped"))

    one = bench(job)
    id = one.enqueue()
    for _ in range(3):
        one.run()
    assert room.where(id) == "completed"
    assert room.result(id)[1] == "shipped"
    assert calls == ["EUR"]
    assert seen == [(17, b"receipt")] * 3
    assert not room.redis.exists(room.key("MEMORY", id))


def test_a_result_of_none_is_remembered_too(room: Room, bench: Callable[..., Bench]) -> None:
    calls: list[int] = []

    def job() -> None:
        assert current().step("nothing", lambda: calls.append(1)) is None
        if current().attempt == 1:
            raise ValueError

    one = bench(job)
    id = one.enqueue()
    one.run()
    one.run()
    assert room.where(id) == "completed"
    assert calls == [1]


def test_async_steps_and_rows(room: Room, bench: Callable[..., Bench]) -> None:
    calls: list[Any] = []

    async def charge(amount: int) -> int:
        await asyncio.sleep(0)
        calls.append(amount)
        return amount

    async def rows() -> AsyncIterator[int]:
        for number in range(6):
            yield number

    async def job() -> Any:
        context = current()
        both = await asyncio.gather(context.astep("a", charge, 1), context.astep("b", charge, 2))
        async for row in context.aresume(rows(), every=2):
            if row == 4 and context.attempt == 1:
                raise ValueError
            calls.append(f"row {row}")
        return both

    one = bench(job)
    id = one.enqueue()
    one.run()
    one.run()
    assert room.result(id)[1] == [1, 2]
    assert calls == [1, 2, *(f"row {number}" for number in range(6))]


@pytest.mark.parametrize("how", ["position", "key", "function"])
def test_rows_go_on_behind_the_last_one_that_was_done(room: Room, bench: Callable[..., Bench], how: str) -> None:
    table = list(range(0, 100, 2))
    done: list[int] = []
    asked: list[int | None] = []

    def behind(last: int | None) -> Iterator[int]:
        asked.append(last)
        return iter([row for row in table if last is None or row > last])

    def job() -> int:
        rows: Any = behind if how == "function" else table
        number = 0
        for row in current().resume(rows, key=None if how == "position" else lambda row: row, every=10):
            if row == 50 and current().attempt == 1:
                raise ValueError
            done.append(row)
            number += 1
        return number

    one = bench(job)
    id = one.enqueue()
    one.run()
    if how != "position":
        table[:] = [row for row in table if row != 48]  # the last one that was done has gone meanwhile
    one.run()
    assert room.where(id) == "completed"
    assert done == list(range(0, 100, 2))
    assert room.result(id)[1] == 25
    assert asked == ([None, 48] if how == "function" else [])


@pytest.mark.parametrize("is_function", [False, True])
def test_rows_go_on_by_position_where_an_earlier_release_had_no_key(
    room: Room, bench: Callable[..., Bench], is_function: bool
) -> None:
    done: list[int] = []

    def job() -> None:
        context, rows = current(), range(10)
        given: Any = (lambda last: iter(rows)) if is_function and context.attempt == 2 else rows
        key = None if context.attempt == 1 else lambda row: row
        for row in context.resume(given, key=key):
            if row == 6 and context.attempt == 1:
                raise ValueError
            done.append(row)

    one = bench(job)
    one.enqueue()
    one.run()
    one.run()
    assert done == list(range(10))


def test_how_far_it_came_is_written_every_so_many_rows_and_at_the_end(room: Room, bench: Callable[..., Bench]) -> None:
    written: list[Any] = []

    def job() -> None:
        context = current()
        for _ in context.resume(range(25), every=10):
            raw = room.redis.hget(room.key("MEMORY", context.id), memory.field("rows", "rows"))
            written.append(raw and codec.unpack(raw)[0])
        assert codec.unpack(room.redis.hget(room.key("MEMORY", context.id), b"rows:rows")) == [25, None, True]
        if context.attempt == 1:
            raise ValueError

    one = bench(job)
    id = one.enqueue()
    one.run()
    assert written == [None] * 10 + [10] * 10 + [20] * 5
    one.run()
    assert room.where(id) == "completed"
    assert len(written) == 25, "there was nothing left to do"


@pytest.mark.parametrize("kind", ["steps", "rows"])
def test_a_worker_that_ends_interrupts_it_and_another_goes_on_at_no_cost(
    room: Room, bench: Callable[..., Bench], kind: str
) -> None:
    done: list[int] = []
    here: list[Bench] = []

    def work(number: int) -> None:
        done.append(number)
        if number == 3:
            here[0].board.order(DRAIN)

    def job() -> int:
        context = current()
        if kind == "steps":
            for number in range(8):
                context.step(f"step {number}", work, number)
        else:
            for number in context.resume(range(8)):
                work(number)
        return context.attempt

    here.append(bench(job))
    id = here[0].enqueue()
    here[0].run()
    assert room.where(id) == "queued"
    assert done == [0, 1, 2, 3]
    assert (room.head(id).attempt, room.head(id).deliveries, room.attempts(id)) == (0, 0, [])
    here[0].board.order(board.RUN)
    here[0].begin_anew()
    here[0].run()
    assert room.result(id)[1] == 1
    assert done == list(range(8))


def test_what_must_not_begin_twice_is_not_interrupted(room: Room, bench: Callable[..., Bench]) -> None:
    def job() -> int:
        one.board.order(DRAIN)
        return sum(current().resume(range(4)))

    one = bench(job)
    raw_id = "default.00000000000000000001"
    room.wire.run_script(
        script("enqueue"),
        room.enqueue_many_bytes([raw_id], body=codec.pack_call((), {}), most=1),
    )
    one.run()
    assert room.result(raw_id)[1] == 6


def test_who_has_lost_its_lease_does_no_further_step(room: Room, bench: Callable[..., Bench]) -> None:
    done: list[str] = []

    def lose() -> None:
        done.append("first")
        one.room.recover(one.worker, "lost", started=[id.encode()])

    def job() -> None:
        current().step("first", lose)
        current().step("second", lambda: done.append("second"))

    one = bench(job)
    id = one.enqueue()
    entry, raw, fence, _, now = one.take()
    _, verdict, _ = one.runs.run("default", entry, raw, fence, now)
    assert b"release" in verdict
    assert done == ["first"]
    assert not room.redis.exists(room.key("MEMORY", id))


def test_a_run_under_a_name_that_is_lost_cannot_write_under_the_next(room: Room, bench: Callable[..., Bench]) -> None:
    """The same process may hold the same task again, in another thread."""
    done: list[str] = []

    def job() -> None:
        one.room.recover(one.worker, "lost", started=[id.encode()])
        one.begin_anew()
        one.room.step(one.worker, 1)
        current().step("first", lambda: done.append("first"))

    one = bench(job)
    id = one.enqueue()
    entry, raw, fence, _, now = one.take()
    one.runs.run("default", entry, raw, fence, now)
    assert done == []
    assert room.where(id) == "active"
    assert not room.redis.exists(room.key("MEMORY", id))


def test_a_result_that_cannot_be_remembered_is_final(room: Room, bench: Callable[..., Bench]) -> None:
    one = bench(lambda: current().step("open", lambda: open))
    id = one.enqueue()
    one.run()
    assert room.where(id) == "dead"
    assert "step 'open': its result cannot be remembered" in room.attempts(id)[0]["message"]


def test_there_is_a_bound_and_the_error_says_so(room: Room, bench: Callable[..., Bench]) -> None:
    one = bench(lambda: current().step("large", bytes, memory.MOST_BYTES))
    id = one.enqueue()
    one.run()
    assert room.where(id) == "dead"
    assert "remembers at most" in room.attempts(id)[0]["message"]


def test_there_is_a_most_of_steps_and_none_is_run_beyond_it(
    room: Room, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MOST_FIELDS", 7)
    done: list[int] = []

    def job() -> None:
        for number in range(7):
            current().step(f"step {number}", done.append, number)

    one = bench(job)
    id = one.enqueue()
    one.run()
    assert room.where(id) == "dead"
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: [current().step("same", int) for _ in range(2)], "was there before in this attempt"),
        (lambda: current().step("", int), "a name is text"),
        (lambda: current().step("x" * 201, int), "a name is text"),
        (lambda: list(current().resume(17)), "goes through rows"),  # type: ignore[arg-type]
        (lambda: list(current().resume(lambda last: [])), "needs key="),
        (lambda: current().resume([], every=0), "every=0"),
        (lambda: current().step("async", asyncio.sleep, 0), "astep"),
    ],
)
def test_what_is_wrong_is_told(room: Room, bench: Callable[..., Bench], wrong: Callable[[], Any], why: str) -> None:
    one = bench(wrong, retries=0)
    id = one.enqueue()
    one.run()
    assert why in room.attempts(id)[0]["message"]


def test_a_step_that_has_raised_may_be_tried_again_under_its_name(room: Room, bench: Callable[..., Bench]) -> None:
    calls: list[int] = []

    def charge() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return len(calls)

    def job() -> int:
        while True:
            try:
                return current().step("charge", charge)
            except ConnectionError:
                continue

    one = bench(job)
    id = one.enqueue()
    one.run()
    assert room.result(id)[1] == 3


def test_a_handler_is_not_told_between_a_step_and_its_note(room: Room, bench: Callable[..., Bench]) -> None:
    """Else the step would run again."""
    said: list[str] = []

    def tell() -> None:
        try:
            door.tell(lambda: SoftTimeLimit, lambda: True, sys._getframe())
        except SoftTimeLimit:
            said.append("told")
        else:
            said.append("not now")

    def job() -> None:
        current().step("charge", tell)

    one = bench(job)
    door = Door((Executor.run.__code__,), Executor._call.__code__)
    run = one.app.broker.run
    one.app.broker.run = lambda command: (tell(), run(command))[1]  # type: ignore[method-assign, func-returns-value]
    one.enqueue()
    one.run()
    assert said == ["told", "not now"]


def test_a_coroutine_is_cancelled_behind_the_note_of_its_step(room: Room, bench: Callable[..., Bench]) -> None:
    calls: list[int] = []

    async def charge() -> str:
        calls.append(1)
        if len(calls) == 1:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
        return "receipt"

    async def job() -> str:
        return await current().astep("charge", charge)

    one = bench(job)
    id = one.enqueue()
    one.run()
    assert one.run()
    assert room.result(id)[1] == "receipt"
    assert len(calls) == 1


def test_a_thread_that_lives_on_can_remember_nothing(room: Room, bench: Callable[..., Bench]) -> None:
    kept: list[Context] = []
    one = bench(lambda: kept.append(current()))
    one.enqueue()
    one.run()
    with pytest.raises(Interrupted):
        kept[0].step("late", os.getpid)


def test_there_is_no_memory_outside_of_a_worker(room: Room, bench: Callable[..., Bench]) -> None:
    kept: list[Context] = []
    one = bench(lambda: kept.append(current()))
    one.enqueue()
    one.run()
    DESK.set(None)
    with pytest.raises(DistqError, match="in a worker only"):
        kept[0].step("late", os.getpid)
