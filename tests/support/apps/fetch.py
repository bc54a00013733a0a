"""Tasks for tests of what is fetched, and when it starts."""

from __future__ import annotations

import re
import time

from distq import Distq
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")


@app.task
def work(gate: str = "", label: str = "") -> str:
    """Done at once, or when a file of the gate's name exists: one type that is quick or slow."""
    with running(label):
        pass_gate(gate)
    return label


@app.task
def wait(seconds: float, label: str = "") -> None:
    with running(label):
        time.sleep(seconds)


@app.task(type="work-in-c")
def work_in_c(size: int = 0, label: str = "") -> None:
    """Done at once, or stuck in one call of C code, which keeps the interpreter's lock for all of it."""
    with running(label):
        if size:
            assert re.match(r"(a+)+$", "a" * size + "b") is None


@app.task(rate="20/s burst 2")
def limited(label: str = "") -> None:
    with running(label):
        pass


@app.task(rate="1/h")
def rare(label: str = "") -> None:
    with running(label):
        pass
