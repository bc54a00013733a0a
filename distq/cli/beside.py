"""The dashboard beside `distq dev`: a server in a process of its own, started anew when the source changes."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

from distq.embedded import is_free
from distq.watchdog import watchdog

PORT = 8081
NEEDED = ("fastapi", "uvicorn", "httptools")
"""Of the extra `server`."""


def is_installed() -> bool:
    """Whether there can be one."""
    return all(find_spec(name) for name in NEEDED)


@contextlib.contextmanager
def dashboard(target: str, environment: Mapping[str, str], is_reloading: bool) -> Iterator[str]:
    """Serves it on this machine until the end of the block; gives its address."""
    port = PORT if is_free(PORT) else _free_port()
    command = [sys.executable, "-m", "distq", "server", target, "--host", "127.0.0.1", "--port", str(port)]
    with watchdog() as tell:
        server = _Server(command, environment, tell)
        server.start()
        if is_reloading:
            threading.Thread(target=server.watch, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.end()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class _Server:
    """The process, and another in its place after each change. A broken source leaves none until it changes again."""

    def __init__(self, command: list[str], environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._command, self._environment, self._tell = command, environment, tell
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Ends the one before."""
        with self._lock:
            self._end()
            if self._is_over.is_set():
                return
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.DEVNULL, start_new_session=True
            )
            self._tell(str(self._process.pid))

    def watch(self) -> None:
        """Starts one anew whenever a Python file below this folder changes."""
        from watchfiles import PythonFilter, watch  # noqa: PLC0415 (extra `reload`)

        for _ in watch(".", watch_filter=PythonFilter(), stop_event=self._is_over, raise_interrupt=False):
            self.start()

    def end(self) -> None:
        """For good."""
        self._is_over.set()
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._tell("")
