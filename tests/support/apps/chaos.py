"""Work for hosts that are killed: each run leaves its START and its END."""

from __future__ import annotations

import time

from distq import Distq
from tests.support.journal import running

app = Distq("app")

TASK_S = 0.005


@app.task
def work(number: int) -> int:
    with running():
        time.sleep(TASK_S)
    return number
