"""Tasks for the broker's bad days: one queue for processes, one for threads, the same work in both."""

from __future__ import annotations

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("weather")
app.queue("many")


@app.task
def work(gate: str = "") -> str:
    """Done at once, or when a file of the gate's name exists."""
    with running():
        pass_gate(gate)
    return current().id


@app.task(queue="many", type="work-many")
def work_many(gate: str = "") -> str:
    return work(gate)


@app.task(backoff=lambda attempt: 0.05)
def fails_once() -> int:
    with running():
        if current().attempt == 1:
            raise ValueError("the first time")
    return current().attempt
