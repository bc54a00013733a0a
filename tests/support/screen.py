"""A program in a real terminal of a given size: what it shows, by an emulator, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyte

from tests.support.eventually import eventually

OWN_IT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""So that Ctrl-C and Ctrl-Z are heard: the terminal becomes that of the program's session."""


class Terminal:
    """`lines` is what somebody would see. It ends its program when it is closed."""

    def __init__(
        self, command: Sequence[str], folder: Path, environ: Mapping[str, str], columns: int, rows: int
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.device = theirs
        self._set_size(columns, rows)
        self.before = termios.tcgetattr(theirs)
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock, self.raw = threading.Lock(), b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_IT, *command], cwd=folder, env={**environ, "TERM": "xterm-256color"},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        with self._lock:
            return list(self._screen.display)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def settings(self) -> Any:
        """Of the terminal: as they were before the program, once it has ended well."""
        return termios.tcgetattr(self.device)

    def until(self, *texts: str) -> None:
        """Until all of these are to be seen."""
        try:
            eventually(lambda: all(text in self.text for text in texts), f"{texts} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        with self._lock:
            self._screen.resize(rows, columns)
        self._set_size(columns, rows)

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.device)
        self._reader.join(5)
        os.close(self._ours)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # nobody has the other end any more
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)
