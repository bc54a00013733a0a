"""An application with several queues."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from distq import Distq, current
from tests.support.journal import running

app = Distq("app")
app.queue("mail", priority="high")
app.queue("bulk", priority="low", result_ttl=60)


@app.task
def work(gate: str = "", label: str = "") -> str:
    with running(label):
        while gate and not Path(gate).exists():
            time.sleep(0.002)
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
