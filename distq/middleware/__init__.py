"""The onion around enqueueing and around each attempt. One policy per file; the default list is one literal, in `app`.

A middleware is a plain callable around an attempt:

    def timing(context, call_next):
        start = time.perf_counter()
        try:
            return call_next(context)
        finally:
            print(context.type, time.perf_counter() - start)

    app.middleware.append(timing)

or an object of a class that extends `Middleware` and overrides `attempt`, `enqueue` or both. The first in the list is
the outermost. A hook that is not overridden is not in the chain: it costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from distq.context import Context
from distq.errors import ConfigurationError

AttemptCall = Callable[[Context], Any]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call on its way to the broker. Change it with `dataclasses.replace`."""

    type: str
    queue: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)
    """Small plain data that travels with the call; handlers see it as `current().headers`."""


EnqueueCall = Callable[[Outgoing], Any]
AttemptMiddleware = Callable[[Context, AttemptCall], Any]


class Middleware:
    """Base for middleware that needs more than one hook. Each must call `call_next`, or decide not to."""

    def attempt(self, context: Context, call_next: AttemptCall) -> Any:
        """Around one attempt: returns the result, or raises."""
        return call_next(context)

    def enqueue(self, outgoing: Outgoing, call_next: EnqueueCall) -> Any:
        """Around one enqueue: returns the handle. May pass on a changed `outgoing`, or raise to refuse."""
        return call_next(outgoing)


Link = Middleware | AttemptMiddleware


def check(link: object) -> None:
    """Raises ConfigurationError for something that cannot be a middleware."""
    if not callable(link) and not isinstance(link, Middleware):
        raise ConfigurationError(
            f"{link!r:.80} is no middleware: give a callable (context, call_next) or an instance of distq.Middleware"
        )
    if isinstance(link, type):
        raise ConfigurationError(f"{link.__name__} is a class: give an instance of it, {link.__name__}()")
    hooks = (link.attempt, link.enqueue) if isinstance(link, Middleware) else (link, type(link).__call__)
    if any(inspect.iscoroutinefunction(hook) for hook in hooks):
        raise ConfigurationError(
            f"{link!r:.80} is async: a middleware is a plain function, also around async handlers "
            "(call_next returns when the handler has ended)"
        )


def attempt_chain(links: Iterable[Link], handler: AttemptCall) -> AttemptCall:
    """The handler inside its onion."""
    call = handler
    for link in reversed(list(links)):
        check(link)
        if not isinstance(link, Middleware):
            call = _around_attempt(link, call)
        elif type(link).attempt is not Middleware.attempt:
            call = _around_attempt(link.attempt, call)
    return call


def enqueue_chain(links: Iterable[Link], send: EnqueueCall) -> EnqueueCall | None:
    """The sending function inside its onion; None when no middleware wants to see enqueues."""
    call = send
    for link in reversed(list(links)):
        if isinstance(link, Middleware) and type(link).enqueue is not Middleware.enqueue:
            call = _around_enqueue(link.enqueue, call)
    return None if call is send else call


def _around_attempt(link: AttemptMiddleware, inner: AttemptCall) -> AttemptCall:
    return lambda context: link(context, inner)


def _around_enqueue(link: Callable[[Outgoing, EnqueueCall], Any], inner: EnqueueCall) -> EnqueueCall:
    return lambda outgoing: link(outgoing, inner)
