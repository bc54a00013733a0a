"""The worker host of a benchmark: started with settings of its own, ended with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from distq.bench.app import NAME, app
from distq.errors import DistqError
from distq.watchdog import watchdog

TARGET = "distq.bench.app:app"
STARTED = "Worker started"
STOP_S = 10.0


@contextlib.contextmanager
def worker_host(url: str, processes: int) -> Iterator[None]:
    """`distq run` with so many processes, ready when this is entered. Raises DistqError when it does not start."""
    # The address is told by the environment, since everybody on the machine can read a command line.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DISTQ_", "REDIS_"))}
    environment |= {NAME: app.name, "DISTQ_BROKER": url}
    command = [sys.executable, "-m", "distq", "run", TARGET, "-p", str(processes), "--metrics-port", "0"]
    command += ["--grace", "1s", "--log-level", "ERROR"]
    with tempfile.TemporaryFile() as log, watchdog() as tell:

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True, cwd=tempfile.gettempdir(),
            )  # fmt: skip

        pool, started = ThreadPoolExecutor(1), None
        try:
            started = pool.submit(start)  # in a thread: a signal, which comes to this one, must not interrupt it
            process = started.result()
            tell(str(process.pid))
            assert process.stdout is not None
            if not any(STARTED in line for line in process.stdout):
                log.seek(0)
                raise DistqError(f"the worker host does not start: {log.read().decode('utf-8', 'replace').strip()}")
            yield
        finally:
            if started is not None:
                _stop(started.result())


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends it and waits for that, by force if need be: nothing may be written to the broker afterwards."""
    process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
