"""SAQ on Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os

from saq import Queue

from benchmarks.peers.programs.record import ran, started

queue = Queue.from_url(os.environ["BENCH_URL"], name="bench")


async def noop(context, *, number):
    """Nothing, with a stored result."""
    ran()
    return number


async def sleep(context, *, number):
    """10 ms of waiting."""
    await asyncio.sleep(0.01)
    ran()
    return number


async def stamp(context, *, number):
    """Says when it started."""
    started(number)
    return number


settings = {
    "queue": queue,
    "functions": [noop, sleep, stamp],
    "concurrency": int(os.environ.get("BENCH_SLOTS", "10")),
}


@contextlib.asynccontextmanager
async def ready():
    """The producer's side."""
    await queue.connect()
    yield
    await queue.disconnect()


async def enqueue(task, number):
    """One call."""
    return await queue.enqueue(task, number=number)


async def value(handle):
    """Its result."""
    while not handle.completed:
        await asyncio.sleep(0.01)
        await handle.refresh()
    return handle.result
