"""An application whose queue `bulk` has several partitions: as many as $DISTQ_TEST_PARTITIONS says."""

from __future__ import annotations

import os

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("bulk", partitions=int(os.environ.get("PARTITIONS", "8")))


@app.task(queue="bulk", retries=0)
def work(label: str = "", gate: str = "") -> str:
    with running(label):
        pass_gate(gate)
        if label == "fail":
            raise ValueError("as it was told")
    return current().queue


@app.task(queue="bulk", rate="50/s burst 1")
def limited() -> None:
    with running("limited"):
        pass
