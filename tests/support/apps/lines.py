"""Tasks about which there is a line in the log."""

from __future__ import annotations

import os
import signal

from distq import Distq
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")


@app.task
def quick(number: int) -> int:
    return number


@app.task
def calls(number: int) -> str:
    return quick.delay(number).id


@app.task(sensitive=["pin"], retries=0)
def opens(user: str, pin: str, options: dict[str, str]) -> None:
    raise PermissionError(f"{user} cannot open with {pin} and {options['api_key']}")


@app.task
def slow(gate: str) -> None:
    with running():
        pass_gate(gate)


@app.task(max_deliveries=1)
def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(retries=1, backoff=0.01)
def fails() -> None:
    raise LookupError("no such row")
