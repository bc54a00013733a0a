"""Huey on Redis, as it comes: blocking pop, results stored until they are read."""

from __future__ import annotations

import os
import time

from huey import RedisHuey

from benchmarks.peers.programs.record import ran, started

huey = RedisHuey("bench", url=os.environ["BENCH_URL"])


@huey.task()
def noop(number):
    """Nothing, with a stored result."""
    ran()
    return number


@huey.task()
def sleep(number):
    """10 ms of waiting."""
    time.sleep(0.01)
    ran()
    return number


@huey.task()
def stamp(number):
    """Says when it started."""
    started(number)
    return number


TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


def enqueue(task, number):
    """One call."""
    return TASKS[task](number)


def value(handle):
    """Its result."""
    return handle.get(blocking=True, timeout=30)
