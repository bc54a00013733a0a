"""A handler that forks: its child must not become a second worker."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import NoReturn


class Forks:
    """Whether this process is a fork of the worker, made by a handler."""

    is_child = False


FORKS = Forks()


def _forked() -> None:
    FORKS.is_child = True


os.register_at_fork(after_in_child=_forked)


def end_of_a_forked_child() -> NoReturn:
    """A handler forked, and its child came back out of it. It must not go on as a second worker: it ends here, with the
    exit code that it would have had if its program was nothing but the handler."""
    error = sys.exception()
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)
