"""Calls to what has a bound: they wait for room, or raise QueueFull. Whoever waits blocks on the broker's marker."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from distq.bounds import Bound
from distq.broker.room import Full, Word
from distq.errors import QueueFull

if TYPE_CHECKING:
    from distq.app import Distq


class Patience:
    """How long one call waits, of the bounds that it meets."""

    def __init__(self, app: Distq, queue: str, bounds: Sequence[Bound]) -> None:
        self._app, self._queue, self._began = app, queue, time.monotonic()
        self._limits = {each.type: each.block_timeout_s for each in bounds}

    def left(self, full: Full, handles: Sequence[Any] = ()) -> float:
        """For so many seconds it may wait for this room. Raises QueueFull; `handles`: what has found room."""
        limit = self._limits.get(full.type)
        limit = self._app.timeout if limit is None else limit
        left = self._began + limit - time.monotonic()
        if full.how != "block" or left <= 0:
            raise self._error(full, handles)
        return left

    def _error(self, full: Full, handles: Sequence[Any]) -> QueueFull:
        what = f"type {full.type}" if full.type else f"queue {self._queue}"
        error = QueueFull(
            f"{what} is full: {full.pending} tasks wait, and max_pending is {full.most}; "
            f"there may be room in {full.retry_s:.3g} s"
        )
        error.retry_after, error.limit, error.count = full.retry_s, full.most, full.pending
        error.handles = list(handles)
        return error


def insist(app: Distq, queue: str, bounds: Sequence[Bound], attempt: Callable[[], Word]) -> bytes:
    """Makes a call as soon as there is room; what is said of it."""
    patience = Patience(app, queue, bounds)
    while isinstance(answer := attempt(), Full):
        app.broker.wait_room(queue, answer.type, patience.left(answer))
    return answer


async def ainsist(app: Distq, queue: str, bounds: Sequence[Bound], attempt: Callable[[], Awaitable[Word]]) -> bytes:
    """`insist` for asyncio."""
    patience = Patience(app, queue, bounds)
    while isinstance(answer := await attempt(), Full):
        await app.async_broker.wait_room(queue, answer.type, patience.left(answer))
    return answer
