"""The application of `benchmarks.flow`."""

from __future__ import annotations

import time

from distq import Distq

app = Distq("bench")


@app.task(fair="tenant")
def in_turn(tenant: str) -> None:
    """Nothing, for a tenant."""


@app.task(fair="tenant")
def works(tenant: str) -> None:
    """Two milliseconds of waiting, for a tenant."""
    time.sleep(0.002)


@app.task(rate="20/s per tenant", max_running="2 per tenant", fair="tenant")
def bounded(tenant: str) -> None:
    """Nothing, for a tenant, in all ways at once."""


@app.task(rate="100/s")
def limited() -> None:
    """Nothing, at its rate."""


@app.task(rate="1/h")
def rare() -> None:
    """Nothing, hardly ever."""


@app.task(max_running=1)
def alone(seconds: float) -> None:
    """Keeps the only place."""
    time.sleep(seconds)


@app.task
def stamp() -> int:
    """When it started, by the machine's monotonic clock in ns."""
    return time.monotonic_ns()
