"""Tasks that say how far they are, and what they do."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from decimal import Decimal
from typing import Any

from distq import Distq, current
from distq.logs import formatter
from tests.support.gates import pass_gate
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
        for done in range(number):
            current().progress(done, number, f"row {done}")
        last = threading.Thread(target=current().progress, args=(number, number, f"row {number}"))
        last.start()  # it has no context of the task
        last.join()
        pass_gate(gate)


ODD: dict[str, tuple[Any, ...]] = {
    "a large number": (10**400,),
    "NaN": (1, float("nan")),
    "infinity": (float("inf"),),
    "no number": ([1] * 100_000,),
    "digits": ("7",),
    "no text": (1, 2, None),
    "a list as text": (1, 2, ["x" * 1000] * 200),
    "a fraction": (1, Decimal("2.5")),
    "a long text": (1, 2, "ü\ud800" * (1 << 19)),
}


@app.task(retries=0)
def says_oddly(what: str, gate: str) -> str:
    """What became of it."""
    try:
        current().progress(*ODD[what])
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    pass_gate(gate)
    return "said"


@app.task(retries=0)
def logs(lines: int) -> None:
    for number in range(lines):
        logger.info("line %d", number)
    raise LookupError("enough")


@app.task
def measures(number: int, rounds: int = 7) -> float:
    """Microseconds for each call, the quickest of several rounds."""
    say, best = current().progress, float("inf")
    with running():
        for _ in range(rounds):
            begun = time.perf_counter()
            for done in range(number):
                say(done, number, "resizing")
            best = min(best, time.perf_counter() - begun)
    return best / number * 1e6
