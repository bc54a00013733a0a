"""What is known when all is over: what was sent, what the broker counted, what the others noted."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from distq.broker.verbs import Depths
from examples.shop.demo.orders import Sent
from examples.shop.demo.partners import Partners
from examples.shop.demo.progress import Counts
from examples.shop.journal import Entry


@dataclass(frozen=True)
class Records:
    """Claims are checked against these."""

    folder: Path
    planned: Mapping[str, int]
    months: Sequence[str]
    sent: Sent
    partners: Partners
    answers: Mapping[int, int]
    """Product -> what `check_stock` returned."""
    counts: Counts
    journal: Sequence[Entry]
    reminder_delays: Mapping[int, float]
    worker_code: int
    depths: Depths


def read_reminders(path: Path) -> dict[int, float]:
    """Order -> seconds from when it was due until it was noted. One that was noted twice is left out."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, ("order", "due", "noted")))
    times = Counter(row["order"] for row in rows)
    return {
        int(row["order"]): (datetime.fromisoformat(row["noted"]) - datetime.fromisoformat(row["due"])).total_seconds()
        for row in rows
        if times[row["order"]] == 1
    }
