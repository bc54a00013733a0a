"""What the storm plays on: a broker that keeps its data, worker hosts and producers, each of one of two releases."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import redis

from distq.embedded import EmbeddedBroker
from tests.chaos.release import TREE, Release, last_release
from tests.support.apps.storm import HOST
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.room import Room

LEASE_S = 3.0
GRACE_S = 20.0
STYLES = ("sync", "bulk", "async")
SIZES = ((1, 1), (2, 1), (1, 4), (2, 2))
"""Processes and threads of a host."""


@dataclass
class Worker:
    """A worker host, with its name in the journal."""

    name: str
    release: Release
    host: Host
    network: Proxy
    """Between it and the broker."""

    @property
    def is_over(self) -> bool:
        return self.host.process.poll() is not None


@dataclass
class Producer:
    """A producer, and the file of its calls."""

    style: str
    release: Release
    file: Path
    process: subprocess.Popen[bytes]


class Stage:
    """Starts what is to be there, replaces what is gone, ends all."""

    def __init__(self, folder: Path, chance: random.Random, rate: float, program: str | None = None) -> None:
        self._folder, self._chance, self._rate, self._program = folder, chance, rate, program
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.last = last_release(folder / "release")
        self.journal = Journal(folder / "journal")
        self.workers: list[Worker] = []
        self.over: list[Worker] = []
        """Those that have ended, or were ended."""
        self.producers: list[Producer] = []
        """All behind one proxy, `network`."""
        self.files: list[Path] = []
        self.started: Counter[str] = Counter()
        """ "worker tree" -> how many."""

    def __enter__(self) -> Stage:
        self.start_broker()
        self.network = Proxy(self.url).__enter__()
        self.room = Room(self.url, app="storm")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for producer in self.producers:
            producer.process.kill()
            producer.process.wait()
        for worker in [*self.workers, *self.over]:
            worker.host.tracebacks_allowed = True  # they are counted
            worker.host.close()
            worker.network.__exit__()
        self.network.__exit__()
        self.room.close()
        self.broker.__exit__(None, None, None)

    # -- the broker --------------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """One that keeps its data also if it is killed: with `everysec` it answers before it writes, up to two seconds,
        while its disk is still busy with the sync before."""
        self.broker = EmbeddedBroker(self._folder / "data", port=self._port, program=self._program)
        self.broker.__enter__()
        with redis.Redis(port=self._port) as client:
            client.config_set("appendfsync", "always")

    def end_broker(self, number: signal.Signals) -> None:
        os.kill(self.broker.pid, number)
        self.broker.__exit__(None, None, None)

    # -- hosts and producers -----------------------------------------------------------------------------------------

    def start_worker(self, release: Release | None = None) -> Worker:
        release = release or self._chance.choice((TREE, self.last))
        processes, threads = self._chance.choice(SIZES)
        name = f"h{len(self.workers) + len(self.over)}"
        network = Proxy(self.url).__enter__()
        command = [
            "run", "tests.support.apps.storm_flows:app", "-p", str(processes), "-t", str(threads),
            "--metrics-port", "0", "--broker", network.url, "--lease", f"{LEASE_S:g}s", "--grace", f"{GRACE_S:g}s",
        ]  # fmt: skip
        more = {**release.environment, HOST: name}
        host = Host(command, self._folder / f"{name}-{release.name}.log", self.journal.place, release.folder, more)
        self.started[f"worker {release.name}"] += 1
        self.workers.append(Worker(name, release, host, network))
        return self.workers[-1]

    def start_producer(self, style: str) -> Producer:
        release = self._chance.choice((TREE, self.last))
        name = f"p{len(self.files)}"
        file = self._folder / f"{name}.calls"
        self.files.append(file)
        seed = str(self._chance.getrandbits(32))
        command = [self.network.url, style, name, seed, str(self._rate), str(file)]
        with (self._folder / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.producer", *command], cwd=release.folder,
                env={**os.environ, **release.environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.started[f"producer {release.name}"] += 1
        self.producers.append(Producer(style, release, file, process))
        return self.producers[-1]

    def replace_what_is_gone(self) -> None:
        """One of each at most: a machine has two cores."""
        for worker in [worker for worker in self.workers if worker.is_over][:1]:
            self.give_up(worker)
            self.start_worker()
        for producer in [producer for producer in self.producers if producer.process.poll() is not None][:1]:
            self.producers.remove(producer)
            self.start_producer(producer.style)

    def give_up(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.over.append(worker)

    def end_producers(self) -> None:
        for producer in self.producers:
            producer.process.terminate()
        for producer in self.producers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                producer.process.wait(30)

    def is_drained(self) -> bool:
        return not self.room.redis.hlen(self.room.key("TASKS"))

    def end_workers(self) -> list[str]:
        """TERM for all that run; those who had it before must have ended by now, too. What was wrong about it."""
        for worker in self.workers:
            if not worker.is_over:
                worker.host.send(signal.SIGTERM)
        give_up = time.monotonic() + GRACE_S + 20
        while not all(worker.is_over for worker in [*self.workers, *self.over]) and time.monotonic() < give_up:
            time.sleep(0.05)
        codes = {worker.name: worker.host.process.poll() for worker in self.workers if worker.host.is_ready}
        wrong = [f"{name} ended with {code}" for name, code in codes.items() if code]
        return wrong + [f"{worker.name} does not end" for worker in [*self.workers, *self.over] if not worker.is_over]

    def tracebacks(self) -> list[str]:
        """Each log in which there is one, from there on."""
        logs = {log.name: log.read_text(errors="replace") for log in sorted(self._folder.glob("*.log"))}
        return [
            f"{name}: {text[text.index('Traceback') :][-2000:]}" for name, text in logs.items() if "Traceback" in text
        ]
