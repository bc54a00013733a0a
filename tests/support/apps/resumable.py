"""Tasks that go on where they were: each of their effects is a file that can be made once, and each run a line."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from distq import Distq, current
from tests.support.journal import running, write

app = Distq("app")


def effect(folder: str, step: str, seconds: float) -> str:
    """Keyed by task and step, so that a second run of the step changes nothing."""
    write("STEP", step)
    time.sleep(seconds)
    place = Path(folder, f"{current().id} {step}")
    try:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        write("AGAIN", step)
    time.sleep(seconds)
    return step


@app.task
def steps(folder: str, number: int, seconds: float) -> list[str]:
    with running():
        return [current().step(f"step {n}", effect, folder, f"step-{n}", seconds) for n in range(number)]


@app.task
def rows(number: int, seconds: float, every: int = 10) -> int:
    done = 0
    with running():
        for row in current().resume(range(number), every=every):
            write("ROW", str(row))
            time.sleep(seconds)
            done += 1
    return done


@app.task
async def async_rows(number: int, seconds: float) -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(number):
            yield n

    with running():
        async for row in current().aresume(numbers()):
            write("ROW", str(row))
            await asyncio.sleep(seconds)


@app.task
def deaf(number: int, seconds: float) -> int:
    """Swallows what should end it."""
    swallowed = 0
    with running():
        for n in range(number):
            try:
                current().step(f"step {n}", time.sleep, seconds)
            except BaseException:
                swallowed += 1
                if swallowed == 2:
                    break
    return swallowed
