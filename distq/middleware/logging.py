"""One line for an ended attempt: WARNING for a retry, ERROR for a dead task, DEBUG for a success."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

from distq.context import Context
from distq.middleware import AttemptCall
from distq.outcome import Reject, Retry, Snooze

logger = logging.getLogger("distq.task")


def log_attempts(context: Context, call_next: AttemptCall) -> Any:
    """Arguments are never logged; the remote traceback is kept with the task."""
    start = perf_counter()
    try:
        result = call_next(context)
    except Retry as wish:
        cause = wish.__cause__ or wish
        _log(logging.WARNING, context, start, "retry in %.3g s after %s: %s", wish.delay_s or 0, _name(cause), cause)
        raise
    except Snooze as wish:
        _log(logging.INFO, context, start, "snoozed for %.3g s", wish.delay_s)
        raise
    except Reject as verdict:
        cause = verdict.__cause__ or verdict
        _log(logging.ERROR, context, start, "dead: %s: %s", _name(cause), verdict.reason or cause)
        raise
    except BaseException as error:
        _log(logging.ERROR, context, start, "dead after attempt %d: %s: %s", context.attempt, _name(error), error)
        raise
    if logger.isEnabledFor(logging.DEBUG):
        _log(logging.DEBUG, context, start, "completed")
    return result


def _name(error: BaseException) -> str:
    return type(error).__name__


def _log(level: int, context: Context, start: float, text: str, *values: object) -> None:
    try:
        said = text % values
    except Exception as broken:  # an exception whose __str__ raises
        said = f"{text.partition(':')[0]} (its message cannot be shown: {type(broken).__name__})"
    seconds = perf_counter() - start
    logger.log(
        level,
        "%s %s %s [attempt %d, %.3f s]",
        context.type,
        context.id,
        said[:500],
        context.attempt,
        seconds,
        extra={"task_id": context.id, "task_type": context.type, "attempt": context.attempt, "seconds": seconds},
    )
