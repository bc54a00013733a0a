"""Tasks for tests of processes: they last as long as a test wants, or take their process with them."""

from __future__ import annotations

import os
import signal
import time

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")


@app.task
def work(gate: str = "", label: str = "") -> int:
    """Done at once, or when a file of the gate's name exists; returns the process that did it."""
    with running(label):
        pass_gate(gate)
    return os.getpid()


@app.task
def wait(seconds: float) -> None:
    with running():
        time.sleep(seconds)


@app.task(max_deliveries=1, retries=0)
def once(gate: str = "") -> None:
    """Must not be started twice."""
    with running():
        pass_gate(gate)


@app.task
def kills_host() -> None:
    """Takes every process of its host along, as the end of a container does."""
    with running():
        os.killpg(os.getpgid(0), signal.SIGKILL)
        time.sleep(60)


@app.task
def deadly(deaths: int = 0) -> int:
    """Kills its process at the first deliveries, so many times."""
    with running():
        if current().delivery <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
    return current().delivery
