"""What a handler tells the harness: that it ran, and when it started. In files, so that it is the same for all systems.

Counting costs a handler about 0.2 µs: eight bytes in a mapped file for each thread that runs handlers.
"""

from __future__ import annotations

import mmap
import os
import threading
import time

FOLDER = os.environ.get("BENCH_FOLDER", ".")


class _Mine(threading.local):
    cells: memoryview | None = None
    pid = 0


_mine = _Mine()


def ran() -> None:
    """Counts a handler that ran."""
    cells = _mine.cells
    if cells is None or _mine.pid != os.getpid():
        cells = _open()
    cells[0] += 1


def _open() -> memoryview:
    _mine.pid = os.getpid()
    path = os.path.join(FOLDER, f"{_mine.pid}-{threading.get_ident()}.count")
    with open(path, "w+b") as file:
        file.write(bytes(8))
        file.flush()
        _mine.cells = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    return _mine.cells


def started(number: int) -> None:
    """Writes down when a handler started, on the clock that all processes of a machine share."""
    now = time.monotonic_ns()
    file = os.open(os.path.join(FOLDER, "started"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, b"%d %d\n" % (number, now))
    os.close(file)
