"""Tasks for hosts with event loops: `distq run --coroutines N`."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from distq import Distq, current
from tests.support.gates import apass_gate, pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("other")

MINE: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="")
left: list[asyncio.Task[Any]] = []


@app.task
async def rest(gate: str = "", label: str = "") -> int:
    """Done at once, or when a file of the gate's name exists; returns the process that did it."""
    with running(label):
        await apass_gate(gate)
    return os.getpid()


@app.task
def work(gate: str = "", label: str = "") -> int:
    """The same, blocking."""
    with running(label):
        pass_gate(gate)
    return os.getpid()


@app.task
async def nap(seconds: float) -> int:
    with running():
        await asyncio.sleep(seconds)
    return os.getpid()


@app.task(retries=0)
async def cleans_up(gate: str, swallows: bool = False) -> str:
    """Takes long the first time, and closes what it has opened; or finishes early when it is told to end."""
    with running():
        try:
            await apass_gate(gate)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            with open(f"{os.environ['DISTQ_TEST_JOURNAL']}.cleaned", "a", encoding="ascii") as file:
                file.write(f"{current().id}\n")
            if not swallows:
                raise
            return "early"
        return f"attempt {current().attempt}, delivery {current().delivery}"


@app.task(retries=0)
async def stubborn(gate: str) -> int:
    """Takes no notice of a cancellation."""
    with running():
        while not Path(gate).exists():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.005)
    return current().delivery


@app.task
async def blocks(seconds: float) -> int:
    """As no coroutine should."""
    with running("blocks"):
        time.sleep(seconds)
    return os.getpid()


@app.task(queue="other", type="only-async")
async def only_async(number: int) -> int:
    """In a queue that has nothing else."""
    await asyncio.sleep(0)
    return number


@app.task
async def who(seconds: float) -> list[Any]:
    """What it sees of itself before and after, and of a variable that others set too."""
    before = [current().id, MINE.get()]
    MINE.set(current().id)
    await asyncio.sleep(seconds)
    task = asyncio.current_task()
    assert task is not None
    return [*before, current().id, MINE.get(), threading.current_thread() is threading.main_thread()]


@app.task(retries=0)
async def leaves(seconds: float) -> str:
    """Goes, and leaves something on the loop that would take long."""
    id = current().id

    async def goes_on() -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            with open(f"{os.environ['DISTQ_TEST_JOURNAL']}.left", "a", encoding="ascii") as file:
                file.write(f"{id} {type(sys.exception()).__name__}\n")

    left.append(asyncio.create_task(goes_on()))
    await asyncio.sleep(0)
    return id


@app.resource
async def clock() -> AsyncIterator[list[int]]:
    """Ticks by itself, in a task of the loop."""
    ticks: list[int] = [os.getpid()]

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.01)
            ticks.append(len(ticks))

    task = asyncio.create_task(go_on())
    yield ticks
    task.cancel()
    with open(f"{os.environ['DISTQ_TEST_JOURNAL']}.closed", "a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


@app.task
async def reads(seconds: float) -> tuple[int, int, int]:
    """What a resource said before and after, and in which process it was opened."""
    ticks = await clock()
    before = len(ticks)
    await asyncio.sleep(seconds)
    return ticks[0], before, len(await clock())


@app.task(retries=0)
async def ends_badly(how: str) -> None:
    if how == "cancelled":
        raise asyncio.CancelledError("by itself")
    if how == "cancels itself":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "exit inside":
        await asyncio.gather(asyncio.create_task(exits()))
    if how == "cancels all":
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        await asyncio.sleep(0.01)
    if how == "cancels all at once":  # also those that are about to begin
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
    if how == "stop":
        raise StopIteration
    raise LookupError(how)


async def exits() -> None:
    await asyncio.sleep(0)
    sys.exit(3)


@app.task
async def deadly(deaths: int, gate: str = "") -> int:
    """Kills its process at the first deliveries, so many times, when the gate is open."""
    with running():
        await apass_gate(gate)
        if current().delivery <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return current().delivery
