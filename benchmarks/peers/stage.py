"""One system on a broker of its own: a producer that does what it is told, and workers that can be halted.

Everything that is started here runs in a session of its own, and is ended when its block is left, by force if need be.
Needs /proc for the processes below a worker and for their memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from benchmarks.machine import await_quiet
from benchmarks.peers.install import Unavailable
from benchmarks.peers.systems import HOME, ROOT, System
from benchmarks.processes import below, pss_mib
from distq.embedded import EmbeddedBroker

PATIENCE_S = 60.0
"""Without any sign of progress for so long, a system is given up."""
STOP_S = 2.0


class Stage:
    """A system, its broker, and the folder in which handlers write down that they ran."""

    def __init__(self, system: System, broker: EmbeddedBroker, port: int, folder: Path) -> None:
        self.system, self.folder = system, folder
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client: redis.Redis = redis.Redis.from_url(broker.url)
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NODE_PATH": str(HOME / system.key / "node_modules"),
            "BENCH_URL": self.url,
            "DISTQ_BROKER": self.url,
            "BENCH_FOLDER": str(folder),
        }

    def counts(self) -> dict[int, int]:
        """How many counted handlers each process has run."""
        found: dict[int, int] = {}
        for path in self.folder.glob("*.count"):
            data = path.read_bytes()
            if len(data) == 8:
                pid = int(path.name.partition("-")[0])
                found[pid] = found.get(pid, 0) + int(struct.unpack("<Q", data)[0])
        return found

    def count(self) -> int:
        """How many counted handlers have run."""
        return sum(self.counts().values())

    def started(self) -> dict[int, int]:
        """When each stamped handler started."""
        path = self.folder / "started"
        lines = path.read_text("ascii").splitlines() if path.exists() else []
        return {int(number): int(at) for number, at in (line.split() for line in lines)}


@contextlib.contextmanager
def stage(system: System) -> Iterator[Stage]:
    """An empty broker that listens on a port of its own, when the machine is quiet."""
    await_quiet()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        with EmbeddedBroker(port=port) as broker:
            place = Stage(system, broker, port, Path(folder))
            with contextlib.closing(place.client):
                yield place


class Producer:
    """The program that enqueues."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def ask(self, call: str, within: float = PATIENCE_S, **told: Any) -> Any:
        """Tells it one thing, and gives its answer. Raises Unavailable when there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"call": call, **told}) + "\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], within)
            line = self._process.stdout.readline() if ready else ""
        except OSError:
            line = ""
        if not line:
            raise Unavailable(f"its producer does not answer ({call}): {last_line(self._log)}")
        return json.loads(line)

    def enqueue(self, number: int, producers: int = 1, task: str = "noop") -> float:
        """Calls per second."""
        return number / float(self.ask("enqueue", number=number, producers=producers, task=task)["seconds"])

    def bulk(self, number: int, task: str = "noop") -> float:
        """Calls per second, with the system's call for many."""
        return number / float(self.ask("bulk", number=number, task=task)["seconds"])

    def fill(self, system: System, number: int, task: str = "noop") -> None:
        """In the fastest way that the system has."""
        if system.bulk:
            self.bulk(number, task)
        else:
            self.enqueue(number, 10, task)


@contextlib.contextmanager
def producer(place: Stage) -> Iterator[Producer]:
    """A producer that is ready."""
    log = place.folder / "producer.log"
    with log.open("wb") as errors:
        process = _start(place.system.producer, place, subprocess.PIPE, errors.fileno())
        try:
            yield Producer(process, log)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            _end([process])
            process.stdout.close()


class Crew:
    """All processes of a system's workers."""

    def __init__(self, processes: list[subprocess.Popen[str]], log: Path) -> None:
        self.processes, self.log = processes, log

    @property
    def members(self) -> set[int]:
        """Every process that runs below the ones that were started."""
        return below({process.pid for process in self.processes})

    def check(self) -> None:
        """Raises Unavailable when one of those that were started has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise Unavailable(f"its worker ended with code {process.returncode}: {last_line(self.log)}")

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """SIGSTOP to all of them, and SIGCONT at the end: so that a queue can be filled before warm workers."""
        members = self.members
        try:
            for pid in members:
                _signal(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in members:
                _signal(pid, signal.SIGCONT)

    def pss_mib(self) -> float:
        """The memory of all of them; what several share is counted once."""
        return pss_mib(self.members)


@contextlib.contextmanager
def crew(place: Stage, processes: int, slots: int | None = None) -> Iterator[Crew]:
    """A system's workers, started but perhaps not ready yet."""
    log = place.folder / "workers.log"
    started: list[subprocess.Popen[str]] = []
    with log.open("wb") as output:
        try:
            for command in place.system.workers(processes, slots):
                told = [part.replace("{url}", place.url) for part in command]
                started.append(_start(told, place, subprocess.DEVNULL, output.fileno(), output.fileno()))
            yield Crew(started, log)
        finally:
            _end(started)


def until(condition: Callable[[], bool], what: str, crew: Crew | None = None, within: float = PATIENCE_S) -> None:
    """Waits. Raises Unavailable when it takes too long, or a worker has ended."""
    give_up = time.monotonic() + within
    while not condition():
        if crew is not None:
            crew.check()
        if time.monotonic() > give_up:
            raise Unavailable(f"not within {within:g} s: {what}" + (f": {last_line(crew.log)}" if crew else ""))
        time.sleep(0.01)


def last_line(log: Path) -> str:
    """The error that a program said last, or else its last words."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"Error|Exception|error:", line)]
    return (errors or lines or ["it said nothing"])[-1][:200]


def _start(
    command: list[str], place: Stage, pipe: int, stderr: int, stdout: int | None = None
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command, cwd=place.folder, env=place.environ, text=True, start_new_session=True,
            stdin=pipe, stdout=pipe if stdout is None else stdout, stderr=stderr,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"it cannot be started: {error}") from error


def _end(processes: list[subprocess.Popen[str]]) -> None:
    members = below({process.pid for process in processes})
    for process in processes:
        if process.poll() is None:
            process.terminate()
    give_up = time.monotonic() + STOP_S
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, give_up - time.monotonic()))
    for pid in members & below({process.pid for process in processes}):
        _signal(pid, signal.SIGKILL)
    for process in processes:
        process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
