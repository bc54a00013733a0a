"""taskiq with the Redis broker that acknowledges (streams), and results in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.programs.record import ran, started

URL = os.environ["BENCH_URL"]
broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=600))


@broker.task
async def noop(number):
    """Nothing, with a stored result."""
    ran()
    return number


@broker.task
async def sleep(number):
    """10 ms of waiting."""
    await asyncio.sleep(0.01)
    ran()
    return number


@broker.task
async def stamp(number):
    """Says when it started."""
    started(number)
    return number


TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


@contextlib.asynccontextmanager
async def ready():
    """The producer's side."""
    await broker.startup()
    yield
    await broker.shutdown()


async def enqueue(task, number):
    """One call."""
    return await TASKS[task].kiq(number)


async def value(handle):
    """Its result."""
    return (await handle.wait_result(check_interval=0.01, timeout=30)).return_value
