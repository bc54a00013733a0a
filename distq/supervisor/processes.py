"""What every process below the supervisor has in common: it dies with its parent and leaves signals to that."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies (Linux). Elsewhere it notices the end of its pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os._exit(1)


def leave_signals_to_supervisor() -> None:
    """Ctrl-C and systemd reach every process of the group; only the supervisor acts on it.

    A handler that does nothing, not SIG_IGN: programs that a task starts would inherit that.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _nothing)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def _nothing(number: int, frame: object) -> None:
    return None
