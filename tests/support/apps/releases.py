"""An application that changes: a file beside the journal says which release of it is imported."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from distq import Distq
from tests.support.gates import apass_gate, pass_gate
from tests.support.journal import PLACE, running

RELEASE_AT = Path(os.environ.get(PLACE, "/nowhere")).parent / "release"
RELEASE = RELEASE_AT.read_text() if RELEASE_AT.exists() else "1"
if RELEASE == "broken":
    raise RuntimeError("this release cannot be imported")

app = Distq("other" if RELEASE == "renamed" else "app")
leaked: list[bytearray] = []


@app.task
def wait(seconds: float) -> tuple[str, int]:
    with running(RELEASE):
        time.sleep(seconds)
    return RELEASE, os.getpid()


@app.task
def await_gate(gate: str) -> str:
    with running(RELEASE):
        pass_gate(gate)
    return RELEASE


@app.task
async def await_seconds(seconds: float) -> str:
    with running(RELEASE):
        await asyncio.sleep(seconds)
    return RELEASE


@app.task
async def await_gate_async(gate: str) -> None:
    with running(RELEASE):
        await apass_gate(gate)


@app.task(needs="gpu")
def render() -> None:
    with running(RELEASE):
        pass


@app.task
def chain(more: int) -> None:
    with running(RELEASE):
        if more:
            chain.delay(more - 1)


@app.task
def compute(number: int) -> None:
    """Keeps the interpreter, in C code that looks for no signals."""
    with running(RELEASE):
        sum(range(number))


@app.task(result_ttl=0)
def leak(kilobytes: int) -> None:
    with running():
        leaked.append(bytearray(os.urandom(1024)) * kilobytes)
        time.sleep(0.005)


if RELEASE == "with a queue":
    app.queue("later")

    @app.task(queue="later")
    def in_later() -> str:
        return "later"


if RELEASE == "2":

    @app.task
    def newer() -> str:
        return "newer"
