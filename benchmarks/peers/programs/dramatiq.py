"""Dramatiq on Redis with its results middleware."""

from __future__ import annotations

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.programs.record import ran, started

URL = os.environ["BENCH_URL"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop(number):
    """Nothing, with a stored result."""
    ran()
    return number


@dramatiq.actor(store_results=True)
def sleep(number):
    """10 ms of waiting."""
    time.sleep(0.01)
    ran()
    return number


@dramatiq.actor(store_results=True)
def stamp(number):
    """Says when it started."""
    started(number)
    return number


TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


def enqueue(task, number):
    """One call."""
    return TASKS[task].send(number)


def value(handle):
    """Its result."""
    return handle.get_result(block=True, timeout=30_000)
