"""A shell in a folder of its own: `distq …` as a real process, and worker hosts that never outlive their test."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from distq.broker import keys
from tests.support.eventually import eventually
from tests.support.room import Room

PYTHON = sys.executable
ROOT = Path(__file__).parents[2]
STARTED = "Worker started. Waiting for tasks..."

MYAPP = """
import os
import time
from distq import Distq, Reject

app = Distq("shop")
app.queue("mail")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task(retries=0)
def echo(value=None):
    return value


@app.task
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@app.task(result_ttl=0)
def forget(seconds: float = 0) -> str:
    time.sleep(seconds)
    return "forgotten"


@app.task(queue="mail", retries=1, backoff=0)
def send_email(to: str) -> None:
    raise ValueError(f"no address: {to}")


@app.task
def refuse(why: str) -> None:
    raise Reject(why)
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Process:
    """A command that runs: its output as it comes, in files."""

    def __init__(
        self, command: list[str], folder: Path, environ: Mapping[str, str], number: int, stdout: int | None = None
    ) -> None:
        self._out, self._err = folder / f".out{number}", folder / f".err{number}"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(
                command, cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stderr=err, start_new_session=True,
                stdout=out if stdout is None else stdout,
            )  # fmt: skip
        self.pid = self.popen.pid
        self.may_show_a_traceback = False

    @property
    def out(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def all(self) -> str:
        return f"{self.out}{self.err}"

    def until(self, text: str, times: int = 1) -> None:
        """Until it has said this so often."""

        def said() -> bool:
            if self.all.count(text) >= times:
                return True
            assert self.popen.poll() is None, f"it ended with {self.popen.poll()}: {self.all}"
            return False

        eventually(said, f"{text!r} {times} times in the output", within=40)

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        return self.popen.wait(40)

    def end(self) -> int:
        if self.popen.poll() is None:
            self.send(signal.SIGTERM)
        return self.ended()


class Warm:
    """Runs short commands without the time that an interpreter takes to start; see `warm.py`."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [PYTHON, str(Path(__file__).with_name("warm.py"))], cwd=ROOT, stdin=theirs.fileno()
        )
        theirs.close()

    def run(self, args: Sequence[str], folder: Path, environ: Mapping[str, str], stdin: str, within: float) -> Said:
        request = json.dumps({"args": args, "folder": str(folder), "environ": dict(environ)}).encode()
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            socket.send_fds(self._channel, [request], [given.fileno(), out.fileno(), err.fileno()])
            self._channel.settimeout(within)
            pid = int(self._channel.recv(100))
            try:
                code = int(self._channel.recv(100))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise
            out.seek(0)
            err.seek(0)
            return Said(code, out.read().decode(), err.read().decode())

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


@dataclass
class Shell:
    """Commands in one folder with one environment."""

    warm: Warm
    folder: Path
    environ: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def __call__(
        self, *args: str, code: int = 0, stdin: str = "", env: Mapping[str, str] | None = None, within: float = 60
    ) -> Said:
        """Runs `distq args`; it must end with this code, and never with a traceback."""
        said = self.warm.run(args, self.folder, {**self.environ, **(env or {})}, stdin, within)
        assert "Traceback" not in said.err, said.err
        assert said.code == code, said
        return said

    def start(self, *args: str, env: Mapping[str, str] | None = None, stdout: int | None = None) -> Process:
        """Starts `distq args`, which is ended after the test."""
        command = [PYTHON, "-m", "distq", *args]
        process = Process(command, self.folder, {**self.environ, **(env or {})}, len(self.processes), stdout)
        self.processes.append(process)
        return process

    def host(self, *args: str, env: Mapping[str, str] | None = None) -> Process:
        """A worker host that has started."""
        process = self.start("run", "myapp:app", "-p", "1", "--metrics-port", "0", *args, env=env)
        process.until(STARTED)
        return process

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def outside(warm: Warm, tmp_path: Path) -> Iterator[Shell]:
    """A shell that knows no broker."""
    with shell_in(tmp_path, warm) as shell:
        yield shell


@contextmanager
def shell_in(folder: Path, warm: Warm) -> Iterator[Shell]:
    """A shell in this folder, with an application; what it has started ends with it."""
    environ = {k: v for k, v in os.environ.items() if not re.match(r"DISTQ_|REDIS_|COLUMNS|NO_COLOR|FORCE_COLOR", k)}
    shell = Shell(warm, folder, environ | {"DISTQ_GRACE": "1s"})
    shell.write("myapp.py", MYAPP)
    yield shell
    for process in shell.processes:
        process.end()
        assert process.may_show_a_traceback or "Traceback" not in process.all, process.all


@pytest.fixture
def distq(outside: Shell, url: str) -> Shell:
    """A shell with an empty broker."""
    outside.environ["DISTQ_BROKER"] = url
    return outside


@pytest.fixture
def shop(url: str) -> Iterator[Room]:
    """The queue `default` of the application `shop`, moved by hand; the broker knows it."""
    room = Room(url, "shop")
    know(room)
    yield room
    room.close()


@pytest.fixture
def mail(url: str) -> Iterator[Room]:
    """The queue `mail` of the same application."""
    room = Room(url, "shop", "mail")
    know(room)
    yield room
    room.close()


def know(room: Room) -> None:
    room.redis.sadd(keys.KNOWN_QUEUES, keys.known_queue(room.app, room.queue))
