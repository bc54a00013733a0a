"""Middleware: plain callables, and objects with two hooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, assert_type

from distq import Context, Distq, Middleware, Outgoing


def timing(context: Context, call_next: Callable[[Context], Any]) -> Any:
    start = time.perf_counter()
    try:
        return call_next(context)
    finally:
        print(context.type, time.perf_counter() - start)


class Tracing(Middleware):
    """Both hooks."""

    def enqueue(self, outgoing: Outgoing, call_next: Callable[[Outgoing], Any]) -> Any:
        assert_type(outgoing.type, str)
        assert_type(outgoing.headers, dict[str, Any])
        return call_next(replace(outgoing, headers={**outgoing.headers, "trace": "1"}))

    def attempt(self, context: Context, call_next: Callable[[Context], Any]) -> Any:
        return call_next(context)


class Broken(Middleware):
    """Not what the base class says."""

    def attempt(self, context: Context) -> Any:  # error
        return None


def too_few(context: Context) -> Any:
    return context


def for_enqueues(outgoing: Outgoing, call_next: Callable[[Outgoing], Any]) -> Any:
    return call_next(outgoing)


app = Distq("shop", middleware=[timing, Tracing()])
app.middleware.append(timing)
app.middleware.append(lambda context, call_next: call_next(context))
app.middleware.insert(0, Tracing())
app.middleware.append(too_few)  # error
app.middleware.append(for_enqueues)  # error
app.middleware.append(Tracing)  # error
app.middleware.append("timing")  # error
Distq("shop", middleware=[too_few])  # error
Distq("shop", middleware=timing)  # error
