"""The application of `benchmarks.partitions`: no-op tasks in a queue with $BENCH_PARTITIONS partitions."""

from __future__ import annotations

import os

from distq import Distq

app = Distq("bench")
app.queue("bulk", partitions=int(os.environ.get("BENCH_PARTITIONS", "1")))


@app.task(type="noop", queue="bulk")
def noop(number: int) -> int:
    """Nothing, with a stored result."""
    return number
