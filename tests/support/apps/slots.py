"""Types of which a process runs only some at a time: `slots`."""

from __future__ import annotations

import os
import time

from distq import Distq
from tests.support.gates import apass_gate, pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("other")


@app.task(slots=2)
def pdf(gate: str = "", seconds: float = 0.0) -> int:
    """Done at once, or when a file of the gate's name exists; returns the process that did it."""
    with running("pdf"):
        time.sleep(seconds)
        pass_gate(gate)
    return os.getpid()


@app.task
def mail(gate: str = "", seconds: float = 0.0) -> int:
    """The same, without a limit."""
    with running("mail"):
        time.sleep(seconds)
        pass_gate(gate)
    return os.getpid()


@app.task(slots=3, version=2, upgrade={1: lambda *args: args})
async def fetch(gate: str = "") -> int:
    with running("fetch"):
        await apass_gate(gate)
    return os.getpid()


@app.task
async def rest(gate: str = "") -> int:
    with running("rest"):
        await apass_gate(gate)
    return os.getpid()
