"""A broker and a worker host for one measurement."""

from __future__ import annotations

import os
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

from distq import Distq
from distq.embedded import EmbeddedBroker
from distq.errors import DistqError

READY = "Worker started"


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

    def counted(self, event: str, type: str) -> int:
        """How often the broker has counted an event of a type."""
        return int(self.client.hget("distq:{bench/default}:ledger", f"{event} {type}") or 0)


@contextmanager
def room() -> Iterator[Room]:
    """An embedded broker, reached over its unix socket."""
    with EmbeddedBroker() as broker:
        yield Room(broker.url)


@contextmanager
def worker_host(
    room: Room, processes: int, *, port: int | None = 0, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """`distq run` on the benchmark's application; ready when this is entered, stopped when it is left.

    `port` is that of the metrics: 0 for none, None for the default.
    """
    command = [sys.executable, "-m", "distq", "run", "benchmarks.tasks:app", "-p", str(processes)]
    command += ["--broker", room.url, "--log-level", "ERROR"]
    command += [] if port is None else ["--metrics-port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log").open("w+")  # noqa: SIM115 (read after the process has ended)
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            if not any(READY in line for line in process.stdout):
                log.seek(0)
                raise DistqError(f"the worker host does not start: {log.read()}")
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)
            log.close()


def rate_between(count: Callable[[], int], total: int, low: float = 0.1, high: float = 0.95) -> float:
    """Per second, between a low and a high part of `total`, as `count()` says: without start and end."""
    seen: list[tuple[float, int]] = []
    while not seen or seen[-1][1] < total * high:
        seen.append((time.perf_counter(), count()))
        time.sleep(0.02)
    inside = [(at, number) for at, number in seen if number >= total * low]
    (first, begun), (last, ended) = inside[0], inside[-1]
    return (ended - begun) / (last - first)


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
