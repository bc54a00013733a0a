"""Counts ended attempts by type and status, and how long they took. Where the counts go is the worker's business."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from distq.context import Context
from distq.middleware import AttemptCall
from distq.outcome import Retry, Snooze


def metrics(context: Context, call_next: AttemptCall) -> Any:
    """Statuses are `success`, `retry` (also a snooze) and `failed`, as the first system named them."""
    meter = context.meter
    if meter is None:
        return call_next(context)
    start, status = perf_counter(), "failed"
    try:
        result = call_next(context)
        status = "success"
        return result
    except (Retry, Snooze):
        status = "retry"
        raise
    finally:
        meter(context.task.type, status, perf_counter() - start)
