"""User code that forks: the child must not become a second worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from typing import Any, NoReturn


class Forks:
    """Whether this process is a fork of a worker, made by user code."""

    is_child = False
    deaf: Any = None
    """What a worker does at TERM: nothing, since that is for its supervisor."""


FORKS = Forks()
_before = threading.local()
"""Its signals that were blocked when a thread began to fork."""


def watch_forks() -> None:
    """From here on this process is a worker, and what it forks is not."""
    FORKS.is_child, FORKS.deaf = False, signal.getsignal(signal.SIGTERM)
    os.register_at_fork(before=_hold_term, after_in_parent=_let_term, after_in_child=_forked)


def _hold_term() -> None:
    """TERM may be sent to a fork from its first moment on."""
    _before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_term() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before.mask)


def _forked() -> None:
    """TERM ends it as it ends any process: `multiprocessing` relies on that, and would wait for ever."""
    FORKS.is_child = True
    if signal.getsignal(signal.SIGTERM) is FORKS.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_term()


def end_of_a_forked_child() -> NoReturn:
    """User code forked, and its child came back out of it. It must not go on as a second worker: it ends here, with the
    exit code that it would have had if its program was nothing but that code."""
    error = sys.exception()
    code = 0 if error is None else 1
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            traceback.print_exception(error)
    finally:
        leave(code & 0xFF)


def leave(code: int) -> NoReturn:
    """Ends this process here and now, whatever user code has made of its streams."""
    try:
        flush()
    finally:
        os._exit(code)


def flush() -> None:
    """What was printed goes out, as far as the streams are some."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
