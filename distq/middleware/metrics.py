"""Counts ended attempts by type and status, and how long they took. Where the counts go is the worker's business."""

from __future__ import annotations

from distq.context import Context
from distq.middleware import Middleware
from distq.outcome import Cancelled, Interrupted, Retry, Snooze


class Metrics(Middleware):
    """Statuses are `success`, `retry` (also a snooze) and `failed`, as the first system named them."""

    def succeeded(self, context: Context, seconds: float) -> None:
        """Counts a success."""
        if context.meter is not None:
            context.meter("success", seconds)

    def failed(self, context: Context, error: BaseException, seconds: float) -> None:
        """Counts what the attempt ends with; one that is interrupted goes on elsewhere, and ends there."""
        if context.meter is not None and not isinstance(error, Interrupted | Cancelled):
            context.meter("retry" if isinstance(error, Retry | Snooze) else "failed", seconds)
