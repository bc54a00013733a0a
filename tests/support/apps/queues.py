"""An application with several queues."""

from __future__ import annotations

import os
import signal
import time

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("mail", priority="high")
app.queue("bulk", priority="low", result_ttl=60, weights={"high": 8, "default": 3, "low": 1})


@app.task
def work(gate: str = "", label: str = "") -> str:
    with running(label):
        pass_gate(gate)
    return current().queue


@app.task(queue="mail")
def deadly(deaths: int = 0) -> int:
    with running():
        if current().delivery <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return current().delivery


@app.task(queue="bulk", rate="20/s burst 1")
def limited() -> None:
    with running():
        pass
