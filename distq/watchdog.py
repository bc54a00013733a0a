"""Ends a program that this process has started when this process ends, however that happens: also by kill -9."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

# It reads the program's pid at each start; an empty line means that there is none. Its input ends with this process.
_SCRIPT = 'worker=; while read -r line; do worker=$line; done; [ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null'


@contextlib.contextmanager
def watchdog() -> Iterator[Callable[[str], None]]:
    """A process that ends the program if this one cannot; gives a function that tells it the program's pid."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    pipe = process.stdin
    assert pipe is not None

    def tell(pid: str) -> None:
        with contextlib.suppress(OSError):
            os.write(pipe.fileno(), f"{pid}\n".encode())

    try:
        yield tell
    finally:
        process.kill()
        process.wait()
        pipe.close()
