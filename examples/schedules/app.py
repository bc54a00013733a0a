"""A task that is called by itself: each second, and each working day at seven in Berlin."""

from __future__ import annotations

from datetime import UTC, datetime

from distq import Distq, current

app = Distq("schedules")


def tick() -> str:
    """Which tick this call is of, as a time of day."""
    return f"{datetime.fromtimestamp(current().headers['tick'] / 1000, UTC):%H:%M:%S}"


@app.periodic("@every 1s", overlap="skip")
def heartbeat() -> str:
    """Says for which second it was called."""
    return tick()


@app.periodic("0 7 * * mon-fri", name="report-de", tz="Europe/Berlin", args=["de"], missed="once")
@app.task(priority="low", expires="6h")
def report(country: str) -> str:
    """Could write a report."""
    return f"{country} {tick()}"
