"""Watches the source for `--reload`, in a process of its own: watchfiles has a thread, and the supervisor forks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from distq.supervisor.autopsy import how_it_ended
from distq.supervisor.processes import die_with_parent, leave_signals_to_supervisor, prepare_to_fork
from distq.worker.forks import leave

logger = logging.getLogger("distq.supervisor")

SHOWN = 5


class Sources:
    """1. has a process watch all Python files below a folder, before the application is imported: no change is missed;
    2. tells of each change;
    3. says so when that process is gone: nothing else changes.
    """

    def __init__(self, selector: selectors.BaseSelector, changed: Callable[[str], None]) -> None:
        self._selector, self._changed = selector, changed
        self._buffer = b""
        self._reader = -1
        self.pid: int | None = None

    def start(self, folder: str, in_the_fork: Callable[[], None]) -> str:
        """Returns when the folder is watched: "", or why it cannot be."""
        self._reader, writer = os.pipe()
        parent = os.getpid()
        prepare_to_fork()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reader)
            in_the_fork()
            _run(folder, writer, parent)
        os.close(writer)
        with os.fdopen(os.dup(self._reader), "rb", buffering=0) as pipe:
            first = json.loads(pipe.readline() or b'{"failed": "its process has ended"}')
        if "failed" in first:
            self.end()
            return str(first["failed"])
        self._selector.register(self._reader, selectors.EVENT_READ, self._hear)
        return ""

    def end(self) -> None:
        """Ends the process, and waits for that."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._bury()

    def _bury(self) -> str:
        """How it ended."""
        assert self.pid is not None
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        os.close(self._reader)
        return how_it_ended(status)

    def _hear(self) -> None:
        data = os.read(self._reader, 65536)
        if not data:
            self._selector.unregister(self._reader)
            logger.error("changes of the source are not seen any more: its process %s", self._bury())
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        said = [json.loads(line) for line in lines]
        for message in said:
            if "failed" in message:
                logger.error("%s", message["failed"])
        files = sorted({name for message in said for name in message.get("changed", ())})
        if files:
            more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
            self._changed(f"{', '.join(files[:SHOWN])}{more} changed")


class _Begun:
    """What watchfiles asks again and again whether to end: the first time, the folder is watched."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], parent: int) -> None:
        self._tell, self._parent, self._has_told = tell, parent, False

    def is_set(self) -> bool:
        """Whether nobody listens any more."""
        if not self._has_told:
            self._has_told = True
            self._tell({"watching": True})
        return os.getppid() != self._parent


def _run(folder: str, writer: int, parent: int) -> NoReturn:
    """The life of the process. Never returns."""

    def tell(message: dict[str, Any]) -> None:
        os.write(writer, json.dumps(message).encode() + b"\n")

    try:
        die_with_parent(parent)
        leave_signals_to_supervisor()
        from watchfiles import PythonFilter, watch  # noqa: PLC0415 (extra `reload`)

        begun = _Begun(tell, parent)
        for changes in watch(folder, watch_filter=PythonFilter(), stop_event=begun, raise_interrupt=False):
            tell({"changed": sorted(os.path.relpath(path, folder) for _, path in changes)[:1000]})
    except BaseException as error:
        with contextlib.suppress(OSError):
            tell({"failed": f"changes of {folder} cannot be watched: {error}"})
    finally:
        leave(0)
