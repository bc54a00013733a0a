"""Attempts on an event loop, without a broker."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import msgpack
import pytest

from distq import Context, Distq, current, message
from distq.middleware import AttemptCall
from distq.outcome import Interrupted
from distq.worker.attempts import Attempts
from tests.support.seats import Given

VARIABLE: ContextVar[str] = ContextVar("variable", default="")


class Stage:
    """An application, and what runs its calls on the loop of this test."""

    def __init__(self) -> None:
        self.app = Distq("app")

    def declare(self, function: Callable[..., Any], **options: Any) -> None:
        self.app.task(type="it", retries=0, **options)(function)

    def run(self, number: int = 1, then: Callable[[Attempts], Awaitable[None]] | None = None) -> list[tuple[str, Any]]:
        """So many calls at the same time: (word, value) of each."""
        return asyncio.run(self._run(number, then))

    async def _run(self, number: int, then: Callable[[Attempts], Awaitable[None]] | None) -> list[tuple[str, Any]]:
        loop, body = asyncio.get_running_loop(), self.app.codec.pack_call((), {})
        raw = struct.pack(">dd", time.time() * 1000, 0) + message.head("it", 1, 600, 0) + body
        seats = Given([(b"default.%d" % n, raw, n, 0, 0) for n in range(number)])
        runs = Attempts(self.app, lambda: "worker", None, loop, number, ["default"], seats)
        tasks = [asyncio.Task(runs.attempt(n), loop=loop, name=f"one {n}") for n in range(number)]
        if then is not None:
            await asyncio.sleep(0.01)
            await then(runs)
        await asyncio.gather(*tasks)
        runs.close()
        return [read(verdict) for verdict in seats.ended if isinstance(verdict, bytes)]


def read(verdict: bytes) -> tuple[str, Any]:
    """The word of a verdict, and the value or the record in it."""
    word = verdict.split(b"\r\n")[3].split(b" ")[0].decode()
    blob = verdict.split(b"\r\n", 5)[5].removesuffix(b"\r\n")
    found: Any = msgpack.unpackb(blob, strict_map_key=False) if blob else None
    return word, found[1] if word == "complete" else found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_many_run_at_the_same_time_each_in_its_own_context(stage: Stage) -> None:
    async def it() -> list[str]:
        before, own = VARIABLE.get(), current().id
        VARIABLE.set(own)
        await asyncio.sleep(0.01)
        return [before, VARIABLE.get(), current().id]

    stage.declare(it)
    assert stage.run(20) == [("complete", ["", f"default.{n}", f"default.{n}"]) for n in range(20)]


def test_what_a_handler_starts_is_ended_with_it_also_what_that_starts(stage: Stage) -> None:
    ended = []

    async def grandchild() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("grandchild")

    async def child() -> None:
        asyncio.create_task(grandchild())  # noqa: RUF006
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("child")

    async def it() -> str:
        asyncio.create_task(child())  # noqa: RUF006
        await asyncio.sleep(0.01)
        return "done"

    stage.declare(it)
    assert stage.run() == [("complete", "done")]
    assert sorted(ended) == ["child", "grandchild"]


def test_it_is_known_who_has_started_what(stage: Stage) -> None:
    started: list[asyncio.Task[None]] = []

    async def it() -> None:
        started.append(asyncio.create_task(asyncio.sleep(60)))
        await asyncio.sleep(0.05)

    async def look(runs: Attempts) -> None:
        assert runs.starter_of(started[0]) == "what it default.0 has started"
        assert runs.starter_of(asyncio.current_task()) == "a coroutine that is no handler's"

    stage.declare(it)
    assert stage.run(then=look) == [("complete", None)]


def test_what_does_not_end_is_told_and_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("distq.worker.attempts.LEFT_S", 0.05)
    gate = False

    async def stubborn() -> None:
        while not gate:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async def it() -> str:
        asyncio.create_task(stubborn())  # noqa: RUF006
        await asyncio.sleep(0)
        return "done"

    async def open_gate(runs: Attempts) -> None:
        nonlocal gate
        await asyncio.sleep(0.2)
        gate = True

    stage.declare(it)
    assert stage.run(then=open_gate) == [("complete", "done")]
    assert "has left 1 coroutines that do not end" in caplog.text


def test_what_blocks_is_never_called_on_the_loop(stage: Stage) -> None:
    threads = set()

    def around(context: Context, call_next: AttemptCall) -> Any:
        threads.add(threading.current_thread())
        time.sleep(0.05)
        return ["around", call_next(context)]

    async def it() -> bool:
        return threading.current_thread() is threading.main_thread()

    stage.app.middleware.append(around)
    stage.declare(it)
    begun = time.monotonic()
    assert stage.run(10) == [("complete", ["around", True])] * 10
    assert time.monotonic() - begun < 10 * 0.05, "they were around at the same time"
    assert threading.main_thread() not in threads


def test_a_plain_handler_runs_in_a_thread(stage: Stage) -> None:
    def it() -> bool:
        return threading.current_thread() is threading.main_thread()

    stage.declare(it)
    assert stage.run() == [("complete", False)]


async def end_of_its_host(runs: Attempts) -> None:
    await asyncio.sleep(0.1)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if task.get_name().startswith("one"):
            runs.interrupt(task, Interrupted("its host ends"))


@pytest.mark.parametrize("is_around", [False, True])
def test_near_the_end_of_its_host_what_is_cancelled_goes_back(stage: Stage, is_around: bool) -> None:
    closed = []

    async def it() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(current().id)

    if is_around:
        stage.app.middleware.append(lambda context, call_next: call_next(context))
    stage.declare(it)
    assert stage.run(3, end_of_its_host) == [("release", None)] * 3
    assert len(closed) == 3


@pytest.mark.parametrize("is_around", [False, True])
def test_a_cancellation_is_the_handlers_alone_and_what_it_shields_goes_on(stage: Stage, is_around: bool) -> None:
    """So it is noted that a step was done, before its handler is told."""
    noted = []

    async def note() -> None:
        await asyncio.sleep(0.2)
        noted.append(current().id)

    async def it() -> None:
        noting = asyncio.ensure_future(note())
        try:
            await asyncio.shield(noting)
        except asyncio.CancelledError:
            await noting
            raise

    if is_around:
        stage.app.middleware.append(lambda context, call_next: call_next(context))
    stage.declare(it)
    assert stage.run(3, end_of_its_host) == [("release", None)] * 3
    assert len(noted) == 3


def test_who_is_interrupted_ends_with_what_is_meant_or_what_it_makes_of_it(stage: Stage) -> None:
    async def it() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if current().id == "default.1":
                return "early"
            if current().id == "default.2":
                raise LookupError("else") from None
            raise
        return ""

    async def end(runs: Attempts) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name().startswith("one"):
                runs.interrupt(task, TimeoutError("too long"))

    stage.declare(it)
    (first, meant), second, (third, other) = stage.run(3, end)
    assert (first, meant["type"], meant["message"]) == ("bury", "TimeoutError", "too long")
    assert second == ("complete", "early")
    assert (third, other["type"]) == ("bury", "LookupError")


def test_a_cancellation_of_its_own_making_is_an_error(stage: Stage) -> None:
    async def it() -> None:
        raise asyncio.CancelledError("mine")

    stage.declare(it)
    ((word, record),) = stage.run()
    assert (word, record["type"], record["message"]) == ("bury", "asyncio.exceptions.CancelledError", "mine")


def test_calls_of_an_older_version_are_upgraded(stage: Stage) -> None:
    async def it(number: int = 0) -> int:
        return number

    stage.declare(it, version=2, upgrade={1: lambda: (7,)})
    assert stage.run() == [("complete", 7)]
