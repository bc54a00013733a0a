"""What every process below the supervisor has in common: it dies with its parent and leaves signals to that."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from collections.abc import Collection

from distq.worker.forks import flush

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_PRCTL, _TRIM = getattr(_LIBC, "prctl", None), getattr(_LIBC, "malloc_trim", None)
"""Linux; glibc. Looked up before any fork: what a fork only uses, it goes on sharing."""
STABLE_S = 1.0
"""A process that lived this long is replaced at once; one that did not, after a growing pause."""
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0


def prepare_to_fork() -> None:
    """Does what makes both sides of a fork go on sharing what is there.

    A garbage collection writes into each object that it looks at, and so makes a copy of its page: what is frozen, it
    does not look at. Memory that was freed is in pages that everybody would write into again: it goes back.
    """
    flush()
    gc.collect()
    gc.freeze()
    if _TRIM is not None:
        _TRIM(0)


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies (Linux). Elsewhere it notices the end of its pipe."""
    if _PRCTL is not None:
        _PRCTL(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died in between
        os._exit(1)


def leave_signals_to_supervisor() -> None:
    """Ctrl-C and systemd reach every process of the group; only the supervisor acts on it.

    A handler that does nothing, not SIG_IGN: programs that a task starts would inherit that. And none is blocked, be it
    by who has started the host or by what the application does at its import.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1):
        signal.signal(number, _nothing)
    for number in (signal.SIGCHLD, signal.SIGCONT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _nothing(number: int, frame: object) -> None:
    return None


def has_children() -> bool:
    """Whether there is a process that this one has started."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def next_pause(last: float, lived_s: float) -> float:
    """How long to wait before a process that lived so long is replaced."""
    return 0.0 if lived_s >= STABLE_S else min(MAX_PAUSE_S, last * 2 or FIRST_PAUSE_S)


def is_stopped(pid: int) -> bool:
    """Whether it runs nothing until it is told to go on: SIGSTOP, a debugger. Only Linux tells it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as told:
            return told.read().rpartition(b") ")[2][:1] in (b"T", b"t")
    except OSError:
        return False


def reap_orphans(own: Collection[int | None]) -> None:
    """Process 1 inherits what the handlers' programs leave behind, and nobody else ends their being zombies.

    `own`: children for which somebody else waits.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in own:
            return
        os.waitpid(found.si_pid, 0)
