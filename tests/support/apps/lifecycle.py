"""An application that does something when its processes begin and end, and opens things in them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from distq import Distq

app = Distq("app")
template = os.getpid()


def note(text: str) -> None:
    with open(os.environ.get("LIFE", os.devnull), "a") as file:
        file.write(f"{os.getpid()} {text}\n")


@app.on_worker_start
def begin() -> None:
    assert os.getpid() != template
    note("start")
    if Path(os.environ["LIFE"] + ".refuse").exists():
        note(f"refused {time.monotonic()}")
        raise ConnectionError("the shop is closed")
    while Path(os.environ["LIFE"] + ".hang").exists():
        time.sleep(0.05)
    if Path(os.environ["LIFE"] + ".stuck").exists():
        note("stuck")
        time.sleep(3600)


@app.on_worker_stop
def end() -> None:
    note(f"stop with {connection()}")
    if Path(os.environ["LIFE"] + ".endless").exists():
        time.sleep(3600)


@app.on_worker_stop
def fail() -> None:
    raise LookupError("nobody minds")


@app.resource
def connection() -> Iterator[str]:
    note("open")
    yield f"connection {os.getpid()}"
    note("close")


@app.resource
async def pool() -> AsyncIterator[list[str]]:
    beats: list[str] = []

    async def beat() -> None:
        while True:
            beats.append("beat")
            await asyncio.sleep(0.005)

    note("aopen")
    task = asyncio.create_task(beat())
    yield beats
    task.cancel()
    note("aclose")


at_import = connection()
"""The template's own: no child uses it, or closes it."""


@app.task
def use() -> tuple[int, str, int]:
    return os.getpid(), connection(), threading.get_ident()


@app.task
async def ause() -> tuple[int, int]:
    beats = await pool()
    before = len(beats)
    await asyncio.sleep(0.02)
    return before, len(beats)
