"""Handlers that do to their process what handlers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from distq import Distq
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")


@app.task
def ok(value: int = 0) -> int:
    with running():
        return value


@app.task
def large(size: int) -> bytes:
    return bytes(size)


@app.task(retries=0)
def forks(value: int) -> int:
    """Its child ends as a program does, not as the child of a worker should."""
    with running():
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        return value


@app.task
def closes_all_files() -> int:
    with running():
        os.closerange(3, 1000)
        return os.getpid()


@app.task
def rearranges_its_process(folder: str) -> int:
    os.chdir(folder)
    sys.path.clear()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    os.environ.clear()
    sys.stdout = sys.stderr = None
    return os.getpid()


@app.task
def leaves_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return os.getpid()


@app.task
def starts_a_program(gate: str) -> int:
    """It goes on after its task, with the task's group, output and environment."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.01)"]
    ).pid


@app.task
def asks_another(number: int) -> int:
    """Calls a task and waits for it: it needs a second process."""
    return ok.delay(number).get(timeout=30) + 1


@app.task
async def asks_many(number: int) -> int:
    handles = [await ok.adelay(n) for n in range(number)]
    return sum([await handle.aget(timeout=30) for handle in handles])


@app.task
def waits_for(gate: str) -> None:
    with running():
        pass_gate(gate)
