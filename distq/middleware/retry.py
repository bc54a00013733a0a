"""The retry policy: an error becomes `Retry` while attempts are left. Everything else passes unchanged."""

from __future__ import annotations

from typing import Any

from distq.backoff import delay_ms
from distq.context import Context
from distq.middleware import AttemptCall
from distq.outcome import Reject, Retry, Snooze


def retry(context: Context, call_next: AttemptCall) -> Any:
    """Runs the attempt; after an error, asks for another one if the task's rules and budget allow it."""
    try:
        return call_next(context)
    except (Reject, Snooze):
        raise
    except Retry as wish:
        rule = context.task.rule_for(wish, context.headers)
        if context.attempt > rule.retries:
            raise Reject(wish.reason or "asked for a retry, but none is left") from wish.__cause__ or wish
        if wish.delay_s is None:
            wish.delay_s = delay_ms(rule.resolved(), context.attempt) / 1000
        raise
    except BaseException as error:
        rule = context.task.rule_for(error, context.headers)
        if context.attempt > rule.retries:
            raise
        raise Retry(delay=delay_ms(rule.resolved(), context.attempt) / 1000) from error
