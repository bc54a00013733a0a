"""Schedules for tests of real hosts: which ones the code declares is in the environment, so releases can differ."""

from __future__ import annotations

import os
import time
from pathlib import Path

from distq import Distq, current
from tests.support.journal import running, write

DECLARED = "TEST_SCHEDULES"
app = Distq("app")


@app.task
def job() -> None:
    """Writes down which tick it is of."""
    headers = current().headers
    write("TICK", f"{headers['schedule']} {headers['tick']:.0f}")


@app.task
def hold(place: str) -> None:
    """Runs until there is a file."""
    with running("hold"):
        while not Path(place).exists():
            time.sleep(0.01)


@app.task
def add(a: int, b: int = 0) -> int:
    """Has arguments."""
    return a + b


@app.task(max_running=1, per="shop")
def by_shop(shop: str) -> str:
    """Has a limit for each shop."""
    with running(shop):
        return shop


for declared in filter(None, os.environ.get(DECLARED, "").split(";")):
    name, when = declared.split("|")
    app.periodic(when, name=name)(job)
