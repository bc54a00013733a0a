"""One line for an ended attempt, always with the same fields: INFO for a success, a snooze or an interruption, WARNING
for a retry, ERROR for a dead task. At DEBUG also one when it begins.

A record of `logging` takes longer than a quick task. So what says only that all went well is written without one, by
distq's own handler, as long as nobody else is to see it: another handler or filter on `distq` or `distq.task` gets
records.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import time
from typing import Any, Protocol

from distq.context import Context
from distq.middleware import Middleware
from distq.outcome import Cancelled, Interrupted, Reject, Retry, Snooze

logger = logging.getLogger("distq.task")
_above = logging.getLogger("distq")

STARTED, ENDED = "attempt.started", "attempt.ended"
"""Events."""
MOST_OF_AN_ERROR = 500


class Scribe(Protocol):
    """distq's own handler, in a worker."""

    def completed(self, context: Context, seconds: float) -> bool:
        """Writes what its record would have become. False: that needs a record all the same."""


scribes: list[Scribe | None] = [None]
"""The one that needs no records of successes, if there is one: it may be all that listens."""


class LogAttempts(Middleware):
    """Arguments are never logged; the remote traceback is kept with the task."""

    def started(self, context: Context) -> None:
        """At DEBUG."""
        fields = {"event": STARTED, **which(context), "wait_ms": waited_ms(context, 0.0)}
        logger.debug("%s %s started [attempt %d]", context.type, context.id, context.attempt, extra=fields)

    def wants_starts(self) -> bool:
        """While DEBUG is logged."""
        return logger.isEnabledFor(logging.DEBUG)

    def succeeded(self, context: Context, seconds: float) -> None:
        """At INFO."""
        if not logger.isEnabledFor(logging.INFO):
            return
        handlers: Any = _above.handlers
        is_alone = handlers == scribes and not (logger.handlers or logger.filters or _above.propagate)
        if is_alone and logger.propagate and handlers[0].completed(context, seconds):
            return
        _log(logging.INFO, context, seconds, "completed", None, "completed")

    def wants_successes(self) -> bool:
        """While INFO is logged."""
        return logger.isEnabledFor(logging.INFO)

    def failed(self, context: Context, error: BaseException, seconds: float) -> None:
        """A retry at WARNING, a snooze or an interruption at INFO, a dead task at ERROR."""
        cause = error.__cause__ or error
        if isinstance(error, Retry):
            why = context.without_secrets(said(cause))
            _log(logging.WARNING, context, seconds, "retry", why, f"retry in {error.delay_s or 0:.3g} s after {why}")
        elif isinstance(error, Snooze):
            _log(logging.INFO, context, seconds, "snoozed", None, f"snoozed for {error.delay_s:.3g} s")
        elif isinstance(error, Interrupted):
            _log(logging.INFO, context, seconds, "interrupted", None, f"interrupted ({error}): another worker goes on")
        elif isinstance(error, Cancelled):
            _log(logging.INFO, context, seconds, "cancelled", None, "cancelled")
        else:
            why = context.without_secrets(said(cause, error.reason) if isinstance(error, Reject) else said(error))
            _log(logging.ERROR, context, seconds, "dead", why, f"dead: {why}")


def said(error: BaseException, instead: str = "") -> str:
    """Its class and what it says (or this instead), bounded, whatever its `__str__` does."""
    name = type(error).__name__
    try:
        return f"{name}: {instead or error}"[:MOST_OF_AN_ERROR]
    except Exception as broken:
        return f"{name} (its message cannot be shown: {type(broken).__name__})"


def which(context: Context) -> dict[str, Any]:
    """Fields that say which attempt it is."""
    return {
        "task_id": context.id,
        "type": context.type,
        "queue": context.queue,
        "attempt": context.attempt,
        "worker": context.worker,
        "correlation_id": context.correlation_id,
    }


def ended(
    which: Mapping[str, Any], outcome: str, seconds: float, wait_ms: float | None, error: str | None
) -> dict[str, Any]:
    """All fields of a line about an ended attempt."""
    return {
        "event": ENDED,
        **which,
        "outcome": outcome,
        "duration_ms": round(seconds * 1000, 3),
        "wait_ms": wait_ms,
        "error": error,
    }


def waited_ms(context: Context, seconds: float) -> float:
    """From its call to the attempt that began so long ago; by two clocks, so that may seem to have been before."""
    return max(0.0, round((time() - seconds) * 1000 - context.created_ms, 3))


def _log(level: int, context: Context, seconds: float, outcome: str, error: str | None, text: str) -> None:
    logger.log(
        level,
        "%s %s %s",
        context.type,
        context.id,
        text,
        extra=ended(which(context), outcome, seconds, waited_ms(context, seconds), error),
    )
