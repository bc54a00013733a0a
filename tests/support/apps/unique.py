"""Tasks of which there is one per name."""

from __future__ import annotations

from distq import Distq
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("wide", partitions=3)


def wait_for(gate: str) -> None:
    pass_gate(gate)


@app.task(unique="user", retries=0)
def sync(user: str, value: int = 0, gate: str = "") -> int:
    with running(user):
        wait_for(gate)
    if value < 0:
        raise ValueError("below 0")
    return value


@app.task(unique="user", queue="wide")
def spread(user: str) -> None: ...


@app.task(unique="doc", debounce="0.3s", debounce_max="1m")
def index(doc: str, version: int) -> int:
    with running(doc):
        return version


@app.task(unique="doc", unique_until="start")
async def refresh(doc: str, value: int, gate: str = "") -> int:
    with running(doc):
        wait_for(gate)
    return value


@app.task(unique="user", throttle="1h")
def remind(user: str, value: int) -> int:
    return value
