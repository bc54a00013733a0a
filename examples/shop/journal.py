"""A middleware: one line of JSON for each ended attempt, in the file that $SHOP_JOURNAL names.

A middleware is a plain callable around each attempt. This one lets the demo count and measure what really ran.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from distq import Context
from distq.middleware import AttemptCall

JOURNAL = os.environ.get("SHOP_JOURNAL")


def journal(context: Context, call_next: AttemptCall) -> Any:
    """Runs the attempt and writes down when it began and ended, and whether it returned."""
    if JOURNAL is None:
        return call_next(context)
    started, outcome = time.time(), "raised"
    try:
        result = call_next(context)
        outcome = "returned"
        return result
    finally:
        line = {
            "type": context.type,
            "id": context.id,
            "attempt": context.attempt,
            "enqueued": context.enqueued_at.timestamp(),
            "started": started,
            "ended": time.time(),
            "outcome": outcome,
        }
        with open(JOURNAL, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
