"""A terminal that is ours for a while: keys without Enter, the other screen, and all as before when we leave."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from typing import Any

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, signal.SIGTSTP)
WIDTH, HEIGHT = 80, 24
"""Of a terminal that does not say it."""
NEWS = 0
"""What `wake` writes: no signal has this number."""


class Terminal:
    """1. gives keys and signals, one after the other; 2. shows what it is given; 3. leaves nothing changed behind."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self._input = sys.stdin.fileno()
        self._reads, self._writes = os.pipe()
        for end in (self._reads, self._writes):
            os.set_blocking(end, False)
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._live: Live | None = None

    def __enter__(self) -> Terminal:
        self._wakeup = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _heard) for number in HEARD}
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)

    def size(self) -> tuple[int, int]:
        """Columns and lines as they are now, whatever $COLUMNS says."""
        found = os.get_terminal_size(self._input)
        self.console.size = ConsoleDimensions(found.columns or WIDTH, found.lines or HEIGHT)
        return self.console.size

    def show(self, what: RenderableType) -> None:
        """Draws the whole screen anew."""
        if self._live is not None:
            self._live.update(what, refresh=True)

    def wake(self) -> None:
        """From another thread: `wait` returns."""
        with contextlib.suppress(BlockingIOError):  # it is going to wake anyway
            os.write(self._writes, bytes([NEWS]))

    def wait(self) -> tuple[bytes, set[int]]:
        """Until something comes: what was typed (nothing, and no signal: the terminal is gone), signals and NEWS."""
        ready, _, _ = select.select([self._input, self._reads], [], [])
        heard = set(os.read(self._reads, 1000)) if self._reads in ready else set()
        if self._input not in ready:
            return b"", heard
        try:
            typed = os.read(self._input, 1000)
        except OSError:
            typed = b""
        return typed, heard or (set() if typed else {signal.SIGHUP})

    def stop(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, and we take it again when we go on."""
        self._close()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._open()

    def _open(self) -> None:
        self._before = termios.tcgetattr(self._input)
        tty.setcbreak(self._input, termios.TCSANOW)
        self._live = Live(console=self.console, screen=True, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def _close(self) -> None:
        live, self._live = self._live, None
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            if live is not None:
                live.stop()
            termios.tcsetattr(self._input, termios.TCSANOW, self._before)


def _heard(number: int, frame: object) -> None:
    """The number is written to the pipe by Python itself."""
