"""Tasks that say how far they are, and what they do."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from distq import Distq, current
from distq.logs import formatter
from tests.support.journal import running

app = Distq("app")

handler = logging.StreamHandler(sys.stderr)
handler.setFormatter(formatter("json" if os.environ.get("LOG_AS") == "json" else "text"))
logging.basicConfig(level=logging.INFO, handlers=[handler])
logger = logging.getLogger("shop")


@app.task
def says(number: int, gate: str) -> None:
    """All of it at once; then it is silent until the gate is there."""
    with running():
        for done in range(number + 1):
            current().progress(done, number, f"row {done}")
        while not Path(gate).exists():
            time.sleep(0.002)


@app.task(retries=0)
def logs(lines: int) -> None:
    for number in range(lines):
        logger.info("line %d", number)
    raise LookupError("enough")


@app.task
def measures(number: int) -> float:
    """Microseconds for each call, the quickest of several rounds."""
    say, best = current().progress, float("inf")
    with running():
        for _ in range(7):
            begun = time.perf_counter()
            for done in range(number):
                say(done, number, "resizing")
            best = min(best, time.perf_counter() - begun)
    return best / number * 1e6
