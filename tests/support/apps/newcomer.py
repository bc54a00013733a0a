"""A later release of the same application: it knows one more type."""

from __future__ import annotations

from distq import Distq, current
from tests.support.journal import running

app = Distq("app")


@app.task
def ok(value: int = 0) -> int:
    with running():
        return value


@app.task
def newcomer(value: int) -> list[int]:
    with running():
        return [value, current().attempt, current().delivery]
