"""A gate is a file: a handler that has come to it goes on when a test has made it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path


def pass_gate(gate: str | Path) -> None:
    """Waits until it is there; an empty name is no gate."""
    while gate and not Path(gate).exists():
        time.sleep(0.002)


async def apass_gate(gate: str | Path) -> None:
    """The same on a loop."""
    while gate and not Path(gate).exists():
        await asyncio.sleep(0.002)
