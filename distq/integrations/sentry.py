"""Sentry (extra `sentry`): errors of tasks as events, each attempt in a scope of its own.

Reported is what ends a task, not what is tried again, and nothing that a handler asks for (a snooze, say). Values of
sensitive arguments are in no event: not among the arguments, not in messages, not among the variables of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

try:
    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger
    from sentry_sdk.utils import event_from_exception
except ImportError as error:
    raise ImportError(f"Sentry needs the extra: pip install 'distq[sentry]' ({error})", name=error.name) from None

from distq.context import Context
from distq.facts import hiding_of, shown_call
from distq.middleware import Middleware
from distq.outcome import Cancelled, Interrupted, Reject, Retry, Snooze
from distq.sensitive import HIDDEN, Hiding, without


class Sentry(Middleware):
    """As the first in the list, `app.middleware.insert(0, Sentry())`: then it knows what is tried again.

    `retries=True` reports those errors too.
    """

    def __init__(self, *, retries: bool = False) -> None:
        self._reports_retries = retries
        self._scopes: dict[Context, AbstractContextManager[Any]] = {}
        ignore_logger("distq.task")  # its lines about the same errors would be events, too

    def started(self, context: Context) -> None:
        """What is noted from here on, such as breadcrumbs, belongs to this attempt. (In a batch to nobody.)"""
        flow = context.task.declaration.flow
        if flow is None or flow.batch is None:
            scope = self._scopes[context] = sentry_sdk.isolation_scope()
            scope.__enter__().clear_breadcrumbs()

    def succeeded(self, context: Context, seconds: float) -> None:
        """The scope ends."""
        self._leave(context)

    def failed(self, context: Context, error: BaseException, seconds: float) -> None:
        """Reports it, unless it is none."""
        try:
            is_none = isinstance(error, Snooze | Interrupted | Cancelled)
            if not is_none and (self._reports_retries or not isinstance(error, Retry)):
                _report(context, (error.__cause__ or error) if isinstance(error, Retry | Reject) else error)
        finally:
            self._leave(context)

    def _leave(self, context: Context) -> None:
        scope = self._scopes.pop(context, None)
        if scope is not None:
            scope.__exit__(None, None, None)


def _report(context: Context, error: BaseException) -> None:
    options = sentry_sdk.get_client().options
    event, hint = event_from_exception(error, client_options=options, mechanism={"type": "distq", "handled": False})
    hidden = hiding_of(context.task.app, context.type, len(context.args), context.headers)
    secrets = hidden.secrets(context.args, context.kwargs)
    said: Any = event
    said["exception"] = _shown(said.get("exception"), hidden, secrets)
    with sentry_sdk.new_scope() as scope:
        scope.set_transaction_name(context.type, source="task")
        scope.fingerprint = ["{{ default }}", context.type]
        for name, value in _tags(context).items():
            scope.set_tag(name, value)
        call = shown_call(context.task.app, context.type, context.args, context.kwargs)
        scope.set_context("task", {"id": context.id, "attempt": context.attempt, "worker": context.worker, **call})
        sentry_sdk.capture_event(event, hint)


def _tags(context: Context) -> dict[str, str]:
    return {
        "distq.type": context.type,
        "distq.queue": context.queue,
        "distq.task_id": context.id,
        "distq.correlation_id": context.correlation_id,
    }


def _shown(value: Any, hidden: Hiding, secrets: set[str]) -> Any:
    """A part of an event without what is not to be shown."""
    if isinstance(value, Mapping):
        return {name: HIDDEN if hidden.covers(name) else _shown(item, hidden, secrets) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, hidden, secrets) for item in value]
    return without(secrets, value) if isinstance(value, str) else value
