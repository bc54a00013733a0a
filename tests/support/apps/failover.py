"""Tasks for tests with a failover: each writes what it did into the journal."""

from __future__ import annotations

import time

from distq import Distq
from tests.support import journal

app = Distq("failover", timeout=20)


@app.task(result_ttl=300)
def note(label: str, seconds: float = 0.0) -> str:
    with journal.running(label):
        time.sleep(seconds)
    return label
