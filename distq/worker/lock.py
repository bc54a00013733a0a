"""A lock that a process shares with what it forks.

It is `multiprocessing.Lock` without its package, which brings pickle, tempfile, subprocess and the compressors: 1.2 MiB
of a host with four processes.
"""

from __future__ import annotations

import os
from _multiprocessing import SemLock  # type: ignore[import-not-found]
from types import TracebackType
from typing import Protocol, cast

SEMAPHORE = 1
"""The kind of `multiprocessing.Lock`: another process than the one that took it may free it."""


class Lock(Protocol):
    """What `multiprocessing.Lock()` gives."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Whether it is ours; `timeout` in seconds."""

    def release(self) -> None:
        """For the next one."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


def new_lock() -> Lock:
    """A lock without a name: it is gone with the last process that has it."""
    while True:
        try:
            return cast("Lock", SemLock(SEMAPHORE, 1, 1, f"/distq-{os.urandom(6).hex()}", True))  # unlinked at once
        except FileExistsError:
            continue
