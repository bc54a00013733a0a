"""Middleware around coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

from distq import Context, Distq, current
from distq.middleware import AttemptCall

app = Distq("app")

MINE: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="")


class Around:
    """Middleware that blocks, around handlers of both kinds."""

    def __call__(self, context: Context, call_next: AttemptCall) -> Any:
        MINE.set("around")
        time.sleep(0.05)
        value = call_next(context)
        return [value, MINE.get(), threading.current_thread() is threading.main_thread()]


app.middleware.append(Around())


@app.task(type="inside")
async def inside(seconds: float) -> list[Any]:
    found = MINE.get()
    await asyncio.sleep(seconds)
    return [found, current().id, threading.current_thread() is threading.main_thread()]


@app.task(type="plain")
def plain() -> int:
    return 1
