"""The onion around enqueueing and around each attempt. One policy per file; the default list is one literal, in `app`.

A middleware is a plain callable around an attempt:

    def timing(context, call_next):
        start = time.perf_counter()
        try:
            return call_next(context)
        finally:
            print(context.type, time.perf_counter() - start)

    app.middleware.append(timing)

or an object of a class that extends `Middleware` and overrides some of its hooks. The first in the list is the
outermost. A hook that is not overridden is not called: it costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

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
Started = Callable[[Context], None]
Succeeded = Callable[[Context, float], None]
Failed = Callable[[Context, BaseException, float], BaseException | None]


class Middleware:
    """Base for middleware that needs more than one hook. `attempt` and `enqueue` are around something: each calls
    `call_next`, or decides not to. `started` comes before an attempt, `succeeded` and `failed` after it; they are
    cheaper."""

    def attempt(self, context: Context, call_next: AttemptCall) -> Any:
        """Around one attempt: returns the result, or raises."""
        return call_next(context)

    def started(self, context: Context) -> None:
        """Before an attempt. If it raises, that is the attempt's error."""

    def wants_starts(self) -> bool:
        """Asked once, when a worker starts: False if `started` would do nothing there."""
        return True

    def succeeded(self, context: Context, seconds: float) -> None:
        """After an attempt that has returned, and whose result can be stored."""

    def wants_successes(self) -> bool:
        """Asked once, when a worker starts: False if `succeeded` would do nothing there."""
        return True

    def failed(self, context: Context, error: BaseException, seconds: float) -> BaseException | None:
        """After an attempt that has raised: the error that it ends with. None: this one."""

    def foresee(self, context: Context, error: BaseException) -> BaseException | None:
        """What `failed` would say to this error, without telling anybody. An attempt with a time limit asks when it
        begins: once its process is ended for that, nobody is left to ask."""

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
    hooks = (
        (link.attempt, link.enqueue, link.started, link.succeeded, link.failed)
        if isinstance(link, Middleware)
        else (link, type(link).__call__)
    )
    if any(inspect.iscoroutinefunction(hook) for hook in hooks):
        raise ConfigurationError(
            f"{link!r:.80} is async: a middleware is a plain function, also around async handlers "
            "(call_next returns when the handler has ended)"
        )


class Onion(NamedTuple):
    """The middleware of an application, as a worker calls it."""

    around: AttemptCall | None
    """What is around the handler, with the handler in it; None: nothing is."""
    started: Sequence[Started]
    """Hooks outside of all that is around, the outermost first."""
    succeeded: Sequence[Succeeded]
    """Likewise, the innermost first."""
    failed: Sequence[Failed]


def onion(links: Iterable[Link], handler: AttemptCall) -> Onion:
    """The handler inside its middleware. Raises ConfigurationError for a link that cannot be one."""
    call, started, succeeded, failed = handler, list[Started](), list[Succeeded](), list[Failed]()
    for link in reversed(list(links)):
        check(link)
        around = _around(link)
        if around is not None:
            if started or succeeded or failed:
                call = _between(tuple(started), call, tuple(succeeded), tuple(failed))
                started, succeeded, failed = [], [], []
            call = _around_attempt(around, call)
        if isinstance(link, Middleware) and _is_told_of_starts(link):
            started.insert(0, link.started)
        if isinstance(link, Middleware) and _is_told_of_successes(link):
            succeeded.append(link.succeeded)
        if isinstance(link, Middleware) and type(link).failed is not Middleware.failed:
            failed.append(link.failed)
    return Onion(None if call is handler else call, tuple(started), tuple(succeeded), tuple(failed))


def _around(link: Link) -> AttemptMiddleware | None:
    if not isinstance(link, Middleware):
        return link
    return None if type(link).attempt is Middleware.attempt else link.attempt


def _is_told_of_starts(link: Middleware) -> bool:
    return type(link).started is not Middleware.started and link.wants_starts()


def _is_told_of_successes(link: Middleware) -> bool:
    return type(link).succeeded is not Middleware.succeeded and link.wants_successes()


def final_error(failed: Sequence[Failed], context: Context, error: BaseException, seconds: float) -> BaseException:
    """What an attempt ends with, when all hooks have seen what it raised. One that raises itself replaces the error."""
    for hook in failed:
        try:
            error = hook(context, error, seconds) or error
        except BaseException as broken:
            error = broken
    return error


def foreseen(links: Iterable[Link], context: Context, error: BaseException) -> BaseException:
    """What an attempt would end with if it raised this."""
    for link in reversed(list(links)):
        if isinstance(link, Middleware) and type(link).foresee is not Middleware.foresee:
            try:
                error = link.foresee(context, error) or error
            except BaseException as broken:
                error = broken
    return error


def _between(
    started: Sequence[Started], call: AttemptCall, succeeded: Sequence[Succeeded], failed: Sequence[Failed]
) -> AttemptCall:
    """Hooks with something around them."""

    def called(context: Context) -> Any:
        start = perf_counter()
        try:
            for before in started:
                before(context)
            result = call(context)
            for hook in succeeded:
                hook(context, perf_counter() - start)
            return result
        except BaseException as error:
            final = final_error(failed, context, error, perf_counter() - start)
            if final is error:
                raise
            raise final from final.__cause__

    return called


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
