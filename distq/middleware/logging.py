"""One line for an ended attempt: WARNING for a retry, ERROR for a dead task, DEBUG for a success."""

from __future__ import annotations

import logging

from distq.context import Context
from distq.middleware import Middleware
from distq.outcome import Cancelled, Interrupted, Reject, Retry, Snooze

logger = logging.getLogger("distq.task")


class LogAttempts(Middleware):
    """Arguments are never logged; the remote traceback is kept with the task."""

    def succeeded(self, context: Context, seconds: float) -> None:
        """At DEBUG."""
        _log(logging.DEBUG, context, seconds, "completed")

    def wants_successes(self) -> bool:
        """While DEBUG is logged."""
        return logger.isEnabledFor(logging.DEBUG)

    def failed(self, context: Context, error: BaseException, seconds: float) -> None:
        """A retry at WARNING, a snooze or an interruption at INFO, a dead task at ERROR."""
        cause = error.__cause__ or error
        if isinstance(error, Retry):
            text = "retry in %.3g s after %s: %s"
            _log(logging.WARNING, context, seconds, text, error.delay_s or 0, _name(cause), cause)
        elif isinstance(error, Snooze):
            _log(logging.INFO, context, seconds, "snoozed for %.3g s", error.delay_s)
        elif isinstance(error, Interrupted):
            _log(logging.INFO, context, seconds, "interrupted (%s): it goes on in another worker", error)
        elif isinstance(error, Cancelled):
            _log(logging.INFO, context, seconds, "cancelled")
        elif isinstance(error, Reject):
            _log(logging.ERROR, context, seconds, "dead: %s: %s", _name(cause), error.reason or cause)
        else:
            text = "dead after attempt %d: %s: %s"
            _log(logging.ERROR, context, seconds, text, context.attempt, _name(error), error)


def _name(error: BaseException) -> str:
    return type(error).__name__


def _log(level: int, context: Context, seconds: float, text: str, *values: object) -> None:
    try:
        said = text % values
    except Exception as broken:  # an exception whose __str__ raises
        said = f"{text.partition(':')[0]} (its message cannot be shown: {type(broken).__name__})"
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
