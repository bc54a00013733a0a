"""Tasks for hosts whose processes have several threads."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("other")
app.queue("third")


@app.task
def work(gate: str = "", label: str = "") -> int:
    """Done at once, or when a file of the gate's name exists; returns the process that did it."""
    with running(label):
        pass_gate(gate)
    return os.getpid()


@app.task(queue="other", type="work-other")
def work_other(gate: str = "", label: str = "") -> int:
    return work(gate, label)


@app.task(queue="third", type="work-third")
def work_third(gate: str = "", label: str = "") -> int:
    return work(gate, label)


@app.task
def wait(seconds: float, label: str = "") -> int:
    with running(label):
        time.sleep(seconds)
    return os.getpid()


@app.task
def count(number: int) -> int:
    """As short as a task can be."""
    return number


@app.task(retries=1, backoff=0)
def fails_at_first(number: int) -> int:
    if current().attempt == 1:
        raise LookupError(number)
    return number


@app.task(type="keeps-the-interpreter")
def keeps_the_interpreter(size: int, label: str = "") -> None:
    """One call of C code, which keeps the interpreter's lock for all of it."""
    with running(label):
        assert re.match(r"(a+)+$", "a" * size + "b") is None


@app.task
def deadly(deaths: int = 0, gate: str = "") -> int:
    """Kills its process at the first deliveries, so many times, when the gate is open."""
    with running():
        pass_gate(gate)
        if current().delivery <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return current().delivery


@app.task
def large(size: int, gate: str = "") -> bytes:
    work(gate)
    return bytes(size)


@app.task
async def rests(seconds: float) -> list[Any]:
    """What it sees of itself before and after."""
    with running():
        before = (current().id, threading.current_thread().name)
        await asyncio.sleep(seconds)
        return [*before, current().id, threading.current_thread().name]


@app.task
def who(seconds: float) -> list[Any]:
    before = current().id
    time.sleep(seconds)
    return [before, current().id, threading.current_thread().name]


@app.task(retries=0)
def forks(value: int) -> int:
    """Its child comes back out of the handler, as no program should."""
    with running():
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
        return value


@app.task
def breaks_its_thread(gate: str) -> int:
    """Behind its end, when the gate is open, an exception comes up in the thread, outside of every handler."""
    thread = threading.get_ident()

    def strike() -> None:
        pass_gate(gate)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
        Path(gate).unlink()

    threading.Thread(target=strike, daemon=True).start()
    return os.getpid()


@app.task(rate="20/s burst 2")
def limited(label: str = "") -> None:
    with running(label):
        pass
