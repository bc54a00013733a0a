"""`distq run` as a child process: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

READY = "Worker started. Waiting for tasks..."
PROCESSES = 2
START_S, STOP_S = 20.0, 30.0


class WorkerFailed(Exception):
    """It did not start, or has ended by itself. The text ends with its log."""


class WorkerHost:
    """A worker host with two processes. Entering it waits until it is ready; leaving it stops it."""

    def __init__(self, broker: str, settings: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "distq", "run", "examples.shop.app:app"]
        self._command = [*command, "-p", str(PROCESSES), "--broker", broker, "--metrics-port", "0"]
        self._settings, self._log = settings, log

    def __enter__(self) -> WorkerHost:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **self._settings}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            self._await_start()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ends it as an operator would, with SIGTERM, and returns its exit code; by force if it does not end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def check(self) -> None:
        """Raises WorkerFailed if it has ended."""
        if self._process.poll() is not None:
            raise WorkerFailed(
                f"`distq run` ended by itself with code {self._process.returncode}:\n{self.last_words()}"
            )

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(f"  {line}" for line in self._log.read_text(errors="replace").splitlines()[-15:])

    def _await_start(self) -> None:
        give_up = time.monotonic() + START_S
        while READY not in self._log.read_text(errors="replace"):
            self.check()
            if time.monotonic() > give_up:
                raise WorkerFailed(f"`distq run` did not say “{READY}” within {START_S:g} s:\n{self.last_words()}")
            time.sleep(0.02)
