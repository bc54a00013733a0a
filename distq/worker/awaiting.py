"""Awaiting `async def` handlers, whatever they do to their event loop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar, cast

from distq.lifecycle import KEPT
from distq.worker.interrupt import Door

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

logger = logging.getLogger("distq.worker")

LEFT_S = 1.0
"""How long what a handler has left on the event loop may take to end."""


def run_through(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    """Has the loop run until this task has ended, and nothing else end it before."""
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:  # of a task that a handler has started: nothing else ends
            if task.done():
                raise
            logger.error("a coroutine that a handler has started has raised %r", error)
        except RuntimeError as error:
            if task.done() or "stopped" not in str(error):  # it cannot run at all
                raise
            logger.error("a handler has stopped the event loop: it goes on")
    return task.result()


async def alone(coroutine: Any, door: Door | None) -> Any:
    """Awaits a handler that has a loop for itself, and ends what it has left there: that must not run on inside of the
    next attempt."""
    import asyncio  # noqa: PLC0415 (2 MiB and 30 ms that a worker without coroutines does not need)

    if door is not None:
        door.told, door.coroutine = None, (asyncio.get_running_loop(), cast("Any", asyncio.current_task()))
    try:
        return await coroutine
    except asyncio.CancelledError as error:
        if door is None or door.told is None:
            raise
        raise door.told() from error
    finally:
        if door is not None:
            door.coroutine = None
        left = asyncio.all_tasks() - {asyncio.current_task(), *KEPT}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LEFT_S)
