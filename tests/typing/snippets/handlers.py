"""Inside of a handler: directives, and what it can ask about itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Never, assert_type

from distq import Context, Distq, Reject, Retry, Snooze, current

app = Distq("shop")


@app.task
def handler(order: int) -> int:
    if order < 0:
        raise Reject("no such order")
    if order == 0:
        raise Retry("not there yet", delay=timedelta(seconds=5))
    if order == 1:
        raise Snooze("5m")
    if order == 2:
        raise Retry(delay=2.5)
    if order == 3:
        raise Retry() from ValueError("why")
    return order


def directives_have_types() -> Never:
    Retry(5)  # error
    Retry(delay=[5])  # error
    Reject(17)  # error
    Snooze()  # error
    Snooze(None)  # error
    raise Snooze(60)


def they_are_no_errors() -> Exception:
    return Retry()  # error


def what_a_handler_can_ask() -> None:
    context = current()
    assert_type(context, Context)
    assert_type(context.id, str)
    assert_type(context.type, str)
    assert_type(context.queue, str)
    assert_type(context.priority, str)
    assert_type(context.attempt, int)
    assert_type(context.delivery, int)
    assert_type(context.fence, int)
    assert_type(context.enqueued_at, datetime)
    assert_type(context.deadline, datetime | None)
    assert_type(context.is_last_attempt, bool)
    assert_type(context.headers, Mapping[str, Any])
    context.deadline.isoformat()  # error
    context.attempts  # error
    current(1)  # error
