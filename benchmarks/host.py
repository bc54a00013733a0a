"""A broker and a worker host for one measurement."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import redis

from benchmarks.machine import await_quiet
from benchmarks.numbers import rate_of
from distq import Distq
from distq.broker import keys
from distq.embedded import EmbeddedBroker
from distq.errors import DistqError

READY = "Worker started"
PATIENCE_S = 60.0


class Room:
    """An empty broker of one's own, and the benchmark's application on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: redis.Redis = redis.Redis.from_url(url)

    def app(self) -> Distq:
        """The application of `benchmarks.tasks`, as a producer sees it."""
        from benchmarks import tasks  # noqa: PLC0415 (it reads its settings when it is imported)

        tasks.app.rebind(self.url)
        return tasks.app

    def counted(self, event: str, type: str, app: str = "bench") -> int:
        """How often the broker has counted an event of a type."""
        ledger = keys.key(keys.prefix(app, "default"), "LEDGER")
        return int(self.client.hget(ledger, f"{event} {type}") or 0)


@contextmanager
def room() -> Iterator[Room]:
    """An embedded broker, reached over its unix socket, when the machine is quiet."""
    await_quiet()
    with EmbeddedBroker() as broker:
        yield Room(broker.url)


@contextmanager
def worker_host(
    room: Room, processes: int, threads: int = 1, target: str = "benchmarks.tasks:app", **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """`distq run` on a benchmark's application; ready when this is entered, stopped when it is left. It logs what is
    wrong; `python -m benchmarks logs` says what a line for each attempt costs."""
    command = [sys.executable, "-m", "distq", "run", target, "-p", str(processes)]
    command += ["--threads", str(threads)] if threads > 1 else []
    command += ["--broker", room.url]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command,
                env={"DISTQ_LOG_LEVEL": "WARNING", **os.environ, **settings},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        try:
            if not any(READY in line for line in process.stdout):
                raise DistqError(f"the worker host does not start: {log.read_text('utf-8', 'replace')}")
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


def rate_between(
    count: Callable[[], int], total: int, low: float = 0.1, high: float = 0.95, begun: float | None = None
) -> float:
    """Per second, between a low and a high part of `total`, as `count()` says: without start and end.

    `begun`: when nothing was done yet, for those that may be too few to be counted on the way.
    """
    seen: list[tuple[float, int]] = [] if begun is None else [(begun, 0)]
    progress = time.perf_counter()
    while not seen or seen[-1][1] < total * high:
        seen.append((time.perf_counter(), count()))
        if len(seen) > 1 and seen[-1][1] > seen[-2][1]:
            progress = seen[-1][0]
        elif seen[-1][0] - progress > PATIENCE_S:
            raise DistqError(f"the workers stopped at {seen[-1][1]:,} of {total:,} tasks")
        time.sleep(0.02)
    return rate_of(seen, total, low, high)


def until(condition: Callable[[], bool], what: str, within: float = PATIENCE_S, pause: float = 0.02) -> None:
    """Waits. Raises TimeoutError when it takes too long."""
    give_up = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(pause)


def pauses(number: int, least: float = 0.004, most: float = 0.012) -> list[float]:
    """Seconds between tasks: by chance, but the same for all, and in step with nobody's polling."""
    chance = random.Random(1)
    return [chance.uniform(least, most) for _ in range(number)]


def sent_within(client: redis.Redis, seconds: float) -> list[str]:
    """The commands that clients send; those inside of scripts are not theirs."""
    teller: Any = client.client()  # type: ignore[no-untyped-call]  # one connection, made before
    sent: list[str] = []
    with teller, client.monitor() as monitor:  # type: ignore[no-untyped-call]
        Timer(seconds, lambda: teller.echo("the end")).start()
        for said in monitor.listen():
            if "the end" in said["command"]:
                return sent
            if said["client_type"] != "lua":
                sent.append(said["command"])
    return sent
