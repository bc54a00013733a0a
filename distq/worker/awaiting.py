"""Awaiting an `async def` handler where it has an event loop for itself."""

from __future__ import annotations

from typing import Any, cast

from distq.lifecycle import KEPT
from distq.worker.interrupt import Door

LEFT_S = 1.0
"""How long what a handler has left on the event loop may take to end."""


async def alone(coroutine: Any, door: Door | None) -> Any:
    """Awaits a handler, and ends what it has left on the loop: that must not run on inside of the next attempt."""
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
