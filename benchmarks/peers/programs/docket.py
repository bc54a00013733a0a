"""docket on Redis streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import timedelta

from docket import Docket

from benchmarks.peers.programs.record import ran, started

docket = Docket(name="bench", url=os.environ["BENCH_URL"])


async def noop(number: int) -> int:
    """Nothing, with a stored result."""
    ran()
    return number


async def sleep(number: int) -> int:
    """10 ms of waiting."""
    await asyncio.sleep(0.01)
    ran()
    return number


async def stamp(number: int) -> int:
    """Says when it started."""
    started(number)
    return number


tasks = [noop, sleep, stamp]
TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


@contextlib.asynccontextmanager
async def ready():
    """The producer's side."""
    async with docket:
        for task in tasks:
            docket.register(task)
        yield


async def enqueue(task, number):
    """One call."""
    return await docket.add(TASKS[task])(number)


async def bulk(task, numbers):
    """Many in pipelines."""
    await docket.add_many(docket.call(TASKS[task])(number) for number in numbers)


async def value(handle):
    """Its result."""
    return await handle.get_result(timeout=timedelta(seconds=30))
