"""Tasks that fail in every way that there is."""

from __future__ import annotations

import sys

from distq import Distq, Reject, Retry, RetryRule, Snooze, current
from tests.support.journal import running

app = Distq("app")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Flood(ConnectionError):
    """Its rule is that of the nearest ancestor that has one."""


def broken_backoff(attempt: int) -> float:
    raise ZeroDivisionError(attempt)


@app.task
def ok(value: int = 0) -> int:
    with running():
        return value


@app.task
def always_fails() -> None:
    with running():
        raise ValueError(f"attempt {current().attempt}")


@app.task
def fails_before(attempt: int) -> int:
    """Completes at this attempt."""
    with running():
        if current().attempt < attempt:
            raise ValueError(f"attempt {current().attempt}")
        return current().attempt


@app.task(retries=0)
def never_retried() -> None:
    with running():
        raise ValueError("once")


@app.task(backoff=lambda attempt: 0.05 * attempt)
def own_backoff() -> None:
    with running():
        raise ValueError("again")


@app.task(backoff=broken_backoff)
def has_a_broken_backoff() -> None:
    with running():
        raise ValueError("again")


@app.task(
    retries=1,
    backoff=0,
    retry_rules={OSError: 0, ConnectionError: RetryRule(2, backoff=0.01), KeyError: 0},
)
def raises_by_name(name: str) -> None:
    with running():
        raise {"Flood": Flood, "KeyError": KeyError, "ValueError": ValueError}[name](name)


@app.task(retries=2, backoff=5)
def asks_for_a_retry(delay: float | None = None) -> int:
    with running():
        if current().attempt == 1:
            raise Retry("slow down", delay=delay)
        return current().attempt


@app.task
def asks_for_ever() -> None:
    with running():
        raise Retry("once more", delay=0)


@app.task
def rejects() -> None:
    with running():
        raise Reject("no such customer")


@app.task(retries=0)
def snoozes(times: int, delay: float = 0.05) -> int:
    with running(str(current().attempt)):
        snoozed = Snoozed.of(current().id)
        if snoozed.count < times:
            snoozed.count += 1
            raise Snooze(delay)
        return current().attempt


class Snoozed:
    """How often a task was snoozed in this process."""

    known: dict[str, Snoozed] = {}  # noqa: RUF012 (on purpose: one for all)

    def __init__(self) -> None:
        self.count = 0

    @classmethod
    def of(cls, id: str) -> Snoozed:
        return cls.known.setdefault(id, cls())


@app.task(retries=1, backoff=0)
def exits(how: str) -> None:
    with running():
        if how == "SystemExit":
            sys.exit(3)
        if how == "KeyboardInterrupt":
            raise KeyboardInterrupt
        raise Unspeakable


@app.task
def returns_what_cannot_travel() -> object:
    with running():
        return {"users": [object()]}


@app.task
def returns_too_much() -> bytes:
    with running():
        return bytes(2 << 20)
