"""Types of which a process runs only some at a time: `slots`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from distq import Distq
from tests.support.journal import running

app = Distq("app")
app.queue("other")


@app.task(slots=2)
def pdf(gate: str = "", seconds: float = 0.0) -> int:
    """Done at once, or when a file of the gate's name exists; returns the process that did it."""
    with running("pdf"):
        time.sleep(seconds)
        while gate and not Path(gate).exists():
            time.sleep(0.005)
    return os.getpid()


@app.task
def mail(gate: str = "", seconds: float = 0.0) -> int:
    """The same, without a limit."""
    with running("mail"):
        time.sleep(seconds)
        while gate and not Path(gate).exists():
            time.sleep(0.005)
    return os.getpid()


@app.task(slots=3, version=2, upgrade={1: lambda *args: args})
async def fetch(gate: str = "") -> int:
    with running("fetch"):
        while gate and not Path(gate).exists():
            await asyncio.sleep(0.005)
    return os.getpid()


@app.task
async def rest(gate: str = "") -> int:
    with running("rest"):
        while gate and not Path(gate).exists():
            await asyncio.sleep(0.005)
    return os.getpid()
