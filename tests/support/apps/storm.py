"""Work of every kind for the storm of `make chaos`. The label of a run is its task's own number, given by the producer.

Each returns its fence: of several runs of a task the last hand-over must be the one whose result stands.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractContextManager

from distq import Distq, current
from tests.support import journal

HOST = "STORM_HOST"
"""Environment variable with the host's name, which each run writes down behind its label."""

LARGE = 50_000
"""Bytes of a large result."""
DELIVERIES = 3
"""After so many kills a poison task is dead: the default of `--max-deliveries`."""

app = Distq("storm", result_ttl="6h", retries=3, backoff=0.05, timeout=2.0)


def _fence() -> int:
    return current().fence


def running(label: str) -> AbstractContextManager[None]:
    return journal.running(f"{label}@{os.environ.get(HOST, '')}")


@app.task
def noop(label: str) -> int:
    with running(label):
        return _fence()


@app.task
def slow(label: str, seconds: float) -> int:
    with running(label):
        time.sleep(seconds)
        return _fence()


@app.task
def flaky(label: str, failures: int) -> int:
    """Fails so often, then works; with more failures than it may have it ends as a dead letter."""
    with running(label):
        if current().attempt <= failures:
            raise ValueError(f"attempt {current().attempt} fails")
        return _fence()


@app.task(priority="high")
def urgent(label: str) -> int:
    with running(label):
        return _fence()


@app.task(rate="100/s")
def limited(label: str) -> int:
    with running(label):
        return _fence()


@app.task
def large(label: str) -> tuple[int, bytes]:
    with running(label):
        return _fence(), b"x" * LARGE


@app.task
def poison(label: str) -> int:
    with running(label):
        os.kill(os.getpid(), signal.SIGKILL)
        return _fence()
