"""Celery on Redis, tuned for short tasks as its guide "Optimizing" says; results in the same Redis."""

from __future__ import annotations

import os
import time

from celery import Celery, group

from benchmarks.peers.programs.record import ran, started

URL = os.environ["BENCH_URL"]
app = Celery("bench", broker=URL, backend=URL)
app.conf.update(
    # "If you have many tasks with a short duration … you want this number to be large. Try 64 or 128."
    worker_prefetch_multiplier=128,
    broker_pool_limit=10,  # "based on the number of threads using the connection"
    result_expires=600,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop(number):
    """Nothing, with a stored result."""
    ran()
    return number


@app.task
def sleep(number):
    """10 ms of waiting."""
    time.sleep(0.01)
    ran()
    return number


@app.task
def stamp(number):
    """Says when it started."""
    started(number)
    return number


TASKS = {"noop": noop, "sleep": sleep, "stamp": stamp}


def enqueue(task, number):
    """One call."""
    return TASKS[task].delay(number)


def bulk(task, numbers):
    """A group: its tasks are sent over one producer."""
    group(TASKS[task].s(number) for number in numbers).apply_async()


def value(handle):
    """Its result."""
    return handle.get(timeout=30)
