"""Work for hosts that are killed: each run leaves its START and its END."""

from __future__ import annotations

import time

from distq import Distq
from tests.support.journal import running

app = Distq("app")


@app.task
def work(number: int, seconds: float) -> int:
    with running():
        if seconds:
            time.sleep(seconds)
    return number
