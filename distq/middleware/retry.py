"""The retry policy: an error becomes `Retry` while attempts are left. Everything else passes unchanged."""

from __future__ import annotations

from distq.backoff import delay_ms
from distq.context import Context
from distq.middleware import Middleware
from distq.outcome import Cancelled, Interrupted, Reject, Retry, Snooze


class RetryPolicy(Middleware):
    """After an error, asks for another attempt if the task's rules and budget allow it."""

    def failed(self, context: Context, error: BaseException, seconds: float) -> BaseException:
        """The same as in advance: how long it took plays no part."""
        return self.foresee(context, error)

    def foresee(self, context: Context, error: BaseException) -> BaseException:
        """`Retry` with its delay, `Reject` when a wished retry is not left, or the error itself."""
        if isinstance(error, Reject | Snooze | Interrupted | Cancelled):
            return error
        rule = context.task.rule_for(error, context.headers)
        is_left = context.attempt <= rule.retries
        if not isinstance(error, Retry):
            return _because(Retry(delay=delay_ms(rule.resolved(), context.attempt) / 1000), error) if is_left else error
        if not is_left:
            refused = Reject(error.reason or "asked for a retry, but none is left")
            return _because(refused, error.__cause__ or error)
        if error.delay_s is None:
            error.delay_s = delay_ms(rule.resolved(), context.attempt) / 1000
        return error


def _because(directive: Retry | Reject, cause: BaseException) -> BaseException:
    directive.__cause__ = cause
    return directive
