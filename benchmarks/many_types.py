"""An application of 200 types, of which some take as long as they are told, one has a rate, and one is long."""

from __future__ import annotations

import time

from distq import Distq

TYPES = 200
DURATIONS = {"type1": 0.002, "type2": 0.02, "type3": 0.1, "type4": 0.4}
"""Seconds that tasks of these types take, in the mixed workload."""

app = Distq("bench")


def _wait(seconds: float = 0.0) -> None:
    """Waits."""
    if seconds:
        time.sleep(seconds)


for _number in range(TYPES - 1):
    app.task(type=f"type{_number}")(_wait)


@app.task(type="limited", rate="1/h")
def limited() -> None:
    """Once in an hour."""
