"""Tasks for the dashboard in a browser: each way to end, fields of all kinds, and what hostile code says of itself."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from distq import Distq, current
from tests.support.gates import pass_gate

app = Distq("app", timeout=2)
app.queue("mail")

HOSTILE = (
    "<img src=x onerror=hacked()>'\"\\><svg/onload=hacked()></script>{{7*7}}\x00\u2028\u202eturned\x1b[31mred\u2066"
)
WORD = "w" * 10_000
LONG = "l" * 190
"""As a name: nearly as long as one may be."""


@app.task(history=100)
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(queue="mail", retries=0, history=100)
def fail(text: Any, gate: str = "", kind: str = "ValueError") -> str:
    """Fails with this text until the gate is there."""
    if gate and Path(gate).exists():
        return "mended"
    raise type(kind, (Exception,), {"__module__": "builtins"})(text)


@app.task
def hold(gate: str, stubborn: bool = False) -> str:
    """Runs until the gate is there; a stubborn one also when it is told that it is cancelled."""
    current().progress(1, 4, "holds")
    while stubborn:
        with suppress(BaseException):
            time.sleep(0.01)
    pass_gate(gate)
    return "held"


@app.task(ordered="tenant")
def turn(tenant: str) -> str:
    return tenant


@app.task(rate="50/s")
def limited(number: int) -> int:
    return number


@app.task(history=100)
def order(
    item: str,
    number: int,
    price: float = 9.5,
    size: Literal["small", "large"] = "small",
    gift: bool = False,
    *notes: str,
    tags: list[str] | None = None,
    **more: Any,
) -> list[Any]:
    """Orders something.

    Its second paragraph.
    """
    return [item, number, price, size, gift, list(notes), tags, more]


@app.periodic("@hourly", tz="Europe/Berlin")
def hourly() -> str:
    return "it ticked"


@app.task(type=LONG, queue="mail", retries=0)
def odd(
    text: str = HOSTILE, choice: Literal["<b>bold</b>", "{{7*7}}"] = "{{7*7}}", gate: str = "", **more: Any
) -> dict[str, str]:
    current().progress(1, 2, HOSTILE)
    logging.getLogger("app").warning("%s %s", HOSTILE, WORD)
    pass_gate(gate)
    if more:
        return {HOSTILE: WORD, "{{7*7}}": HOSTILE}
    raise type(HOSTILE.replace("\x00", ""), (Exception,), {"__module__": "builtins"})(HOSTILE + WORD)


odd.function.__doc__ = f"{HOSTILE}\n\n{WORD}"
