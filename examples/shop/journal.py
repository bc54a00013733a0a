"""A middleware: one line of JSON for each ended attempt, in the file that $SHOP_JOURNAL names.

A middleware is a plain callable around each attempt. This one lets the demo count and measure what really ran.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distq import Context
from distq.middleware import AttemptCall

JOURNAL = os.environ.get("SHOP_JOURNAL")


@dataclass(frozen=True)
class Entry:
    """One ended attempt. Times are seconds since 1970."""

    type: str
    id: str
    attempt: int
    enqueued: float
    started: float
    ended: float
    returned: bool
    """False: it raised."""


def journal(context: Context, call_next: AttemptCall) -> Any:
    """Runs the attempt and writes down when it began and ended, and whether it returned."""
    if JOURNAL is None:
        return call_next(context)
    started, returned = time.time(), False
    try:
        result = call_next(context)
        returned = True
        return result
    finally:
        enqueued = context.enqueued_at.timestamp()
        entry = Entry(context.type, context.id, context.attempt, enqueued, started, time.time(), returned)
        with open(JOURNAL, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")


def read(path: Path) -> list[Entry]:
    """All entries, in the order in which the attempts ended."""
    with path.open(encoding="utf-8") as file:
        return [Entry(**json.loads(line)) for line in file]
