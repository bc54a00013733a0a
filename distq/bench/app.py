"""The application of `distq bench`: the benchmark's process and its worker host import it, with the same name."""

from __future__ import annotations

import os
import secrets
import time

from distq.app import Distq

NAME = "DISTQ_BENCH_NAME"
"""How the benchmark tells its worker host the application's name."""

app = Distq(os.environ.get(NAME) or f"distq-bench-{secrets.token_hex(4)}")


@app.task(type="noop", result_ttl="1h")
def noop(number: int, tells: bool = False) -> int | list[int]:
    """Nothing; some tell in which process they ran, when, and how long that process had computed (nanoseconds)."""
    return [os.getpid(), time.monotonic_ns(), time.process_time_ns()] if tells else number


@app.task(type="stamp")
def stamp() -> int:
    """When it started, in nanoseconds of the clock that all processes of a machine share."""
    return time.monotonic_ns()
