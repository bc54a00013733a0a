"""Signals as the supervisor hears them: through a pipe, on which it can wait."""

from __future__ import annotations

import contextlib
import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT, signal.SIGUSR1)
FOR_LATER = {signal.SIGHUP, signal.SIGUSR1}
"""They are blocked from the first moment of a host until they can be obeyed: by themselves they end a process."""


def catch_signals() -> int:
    """From now on they, and the ends of child processes, are told by the pipe whose readable end this is."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for number in (*SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda number, frame: None)
    signal.set_wakeup_fd(writer)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what has come since the start; whoever started us may block others
    return reader


def came_through(reader: int) -> list[int]:
    """What has come since this was asked."""
    with contextlib.suppress(BlockingIOError):
        return in_order(os.read(reader, 4096))
    return []


def in_order(came: bytes) -> list[int]:
    """What to obey of the signals that the pipe tells of, each once, in the order in which they came. Python would call
    its handlers by their numbers: CONT before a TSTP that came first."""
    return sorted(set(came).intersection(SIGNALS), key=came.rfind)
