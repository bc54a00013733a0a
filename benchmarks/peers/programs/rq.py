"""RQ; its results are kept for 500 s by default."""

from __future__ import annotations

import os
import time

from redis import Redis
from rq import Queue

from benchmarks.peers.programs.record import ran, started

queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_URL"]))


def noop(number):
    """Nothing, with a stored result."""
    ran()
    return number


def sleep(number):
    """10 ms of waiting."""
    time.sleep(0.01)
    ran()
    return number


def stamp(number):
    """Says when it started."""
    started(number)
    return number


TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


def enqueue(task, number):
    """One call."""
    return queue.enqueue(TASKS[task], number)


def bulk(task, numbers):
    """Many in one pipeline, a thousand at a time."""
    for start in range(0, len(numbers), 1000):
        queue.enqueue_many([Queue.prepare_data(TASKS[task], [number]) for number in numbers[start : start + 1000]])


def value(handle):
    """Its result."""
    return handle.latest_result(timeout=30).return_value
