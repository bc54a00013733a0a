"""The coroutines that are measured, in an application of their own. `BENCH_MIXED` gives its queue plain tasks too."""

from __future__ import annotations

import asyncio
import os

from distq import Distq

app = Distq("loops")


@app.task(type="noop")
async def noop(number: int) -> int:
    """Nothing, with a stored result."""
    return number


@app.task(type="sleep")
async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


if os.environ.get("BENCH_MIXED"):

    @app.task(type="plain")
    def plain(number: int) -> int:
        """Nothing, in a thread."""
        return number
