"""OpenTelemetry (extra `otel`): a span for each call and each attempt, by the messaging conventions.

The W3C context of a call travels in its headers, so all attempts are in the trace of whoever has called. A retry is
also linked to the call. What a schedule enqueues has no caller: each tick begins a trace of its own.

Spans of attempts begin in `started` and end in `succeeded` or `failed`: no middleware around the handler, so coroutines
stay on their loop.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import lru_cache
from typing import Any

try:
    from opentelemetry import context as contexts
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TracerProvider
    from opentelemetry.util.types import AttributeValue
except ImportError as error:
    raise ImportError(f"OpenTelemetry needs the extra: pip install 'distq[otel]' ({error})", name=error.name) from None

import distq
from distq.context import Context
from distq.middleware import EnqueueCall, Middleware, Outgoing
from distq.outcome import Cancelled, Interrupted, Reject, Retry, Snooze
from distq.result import Handle

TRACEPARENT = "traceparent"
MOST_OF_A_HEADER = 8192
"""Characters that are read of one: headers may come from anybody."""

Opened = tuple[Span, "Token[contexts.Context] | None"]


class OpenTelemetry(Middleware):
    """Makes spans with this provider, or the global one, whenever that is set.

    As the first in the list, `app.middleware.insert(0, OpenTelemetry())`, it also sees what becomes of an error.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("distq", distq.__version__, tracer_provider)
        self._open: dict[Context, Opened] = {}

    # -- calls -------------------------------------------------------------------------------------------------------

    def enqueue(self, outgoing: Outgoing, call_next: EnqueueCall) -> Any:
        """`send <queue>`; for each call of `delay_many`, `create <queue>`."""
        if "schedule" in outgoing.headers:  # nobody calls now
            return call_next(outgoing)
        type, queue, headers = outgoing.type, outgoing.queue, outgoing.headers
        given = _created(headers) if TRACEPARENT in headers else None
        links = [Link(given)] if given else None
        span = self._tracer.start_span(
            f"send {queue}", kind=SpanKind.PRODUCER, attributes=_about("send", queue, type), links=links
        )
        if given is None:
            carrier = dict(headers)
            propagate.inject(carrier, trace.set_span_in_context(span))
            outgoing = Outgoing(type, queue, outgoing.args, outgoing.kwargs, carrier)
        try:
            sent = call_next(outgoing)
        except BaseException as error:
            _fail(span, error)
            raise
        if inspect.isawaitable(sent):
            return _sent_later(span, sent)
        _sent(span, sent)
        return sent

    # -- attempts ----------------------------------------------------------------------------------------------------

    def started(self, context: Context) -> None:
        """`process <queue>` begins."""
        headers = context.headers
        around = propagate.extract(_texts(headers)) if headers else contexts.Context()
        created = trace.get_current_span(around).get_span_context()
        if "schedule" in headers:
            around = contexts.Context()
        is_linked = created.is_valid and (context.attempt > 1 or "schedule" in headers)
        links = [Link(created)] if is_linked else None
        span = self._tracer.start_span(f"process {context.queue}", around, SpanKind.CONSUMER, _attempt(context), links)
        flow = context.task.declaration.flow
        is_one_of_many = flow is not None and flow.batch is not None
        token = None if is_one_of_many else contexts.attach(trace.set_span_in_context(span, around))
        self._open[context] = span, token

    def succeeded(self, context: Context, seconds: float) -> None:
        """It ends."""
        self._end(context, "", None)

    def failed(self, context: Context, error: BaseException, seconds: float) -> None:
        """It ends, with the error that it is about."""
        if isinstance(error, Snooze | Interrupted | Cancelled):
            self._end(context, type(error).__name__.lower(), None)
        else:
            self._end(context, "retry" if isinstance(error, Retry) else "failed", error)

    def _end(self, context: Context, outcome: str, error: BaseException | None) -> None:
        opened = self._open.pop(context, None)
        if opened is None:  # what is further out has raised before `started`
            return
        span, token = opened
        if outcome:
            span.set_attribute("distq.outcome", outcome)
        if error is None:
            span.end()
        else:
            cause = (error.__cause__ or error) if isinstance(error, Retry | Reject) else error
            _fail(span, cause, context.without_secrets)
        if token is not None:
            contexts.detach(token)


@lru_cache(1000)
def _about(operation: str, queue: str, type: str) -> Mapping[str, AttributeValue]:
    return {
        "messaging.system": "distq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "distq.task.type": type,
    }


def _attempt(context: Context) -> dict[str, AttributeValue]:
    """What goes without saying is not said: each attribute takes the SDK a microsecond."""
    id, attempt, correlation = context.id, context.attempt, context.correlation_id
    attributes = {**_about("process", context.queue, context.type), "messaging.message.id": id}
    if attempt > 1:
        attributes["distq.attempt"] = attempt
    if correlation != id:
        attributes["messaging.message.conversation_id"] = correlation
    if "schedule" in context.headers:
        attributes["distq.schedule"] = str(context.headers["schedule"])
    return attributes


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    """What propagators read: those that are text."""
    return {name: said for name, said in headers.items() if isinstance(said, str) and len(said) <= MOST_OF_A_HEADER}


def _created(headers: Mapping[str, Any]) -> SpanContext | None:
    """The context that a caller has given himself."""
    found = trace.get_current_span(propagate.extract(_texts(headers), contexts.Context())).get_span_context()
    return found if found.is_valid else None


async def _sent_later(span: Span, sending: Any) -> Any:
    try:
        sent = await sending
    except BaseException as error:
        _fail(span, error)
        raise
    _sent(span, sent)
    return sent


def _sent(span: Span, sent: object) -> None:
    if isinstance(sent, Handle):
        span.set_attribute("messaging.message.id", sent.id)
    elif isinstance(sent, Outgoing):  # one of many, which travel together later
        span.update_name(f"create {sent.queue}")
        span.set_attributes({"messaging.operation.name": "create", "messaging.operation.type": "create"})
    span.end()


def _fail(span: Span, error: BaseException, hide: Callable[[str], str] = str) -> None:
    name = type(error).__qualname__ if type(error).__module__ == "builtins" else _full_name(type(error))
    span.set_attribute("error.type", name)
    with contextlib.suppress(Exception):  # its `__str__` may do anything
        span.record_exception(error, {
            "exception.message": hide(str(error)),
            "exception.stacktrace": hide("".join(traceback.format_exception(error))),
        })  # fmt: skip
    span.set_status(StatusCode.ERROR, name)
    span.end()


def _full_name(cls: type[BaseException]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
