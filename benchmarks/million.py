"""What it takes to look at very many tasks: pages of the list, searches, and what the dashboard's first page asks."""

from __future__ import annotations

import http.client
import json
import time
from statistics import median
from typing import Any
from urllib.parse import urlencode

from benchmarks.api import serving
from benchmarks.api_server import KEY
from benchmarks.figure import Figure, percentile
from benchmarks.host import room
from benchmarks.numbers import short
from benchmarks.tasks import noop
from distq.server.search import encode

FEW, MANY = 1_000, 1_000_000
TURNS = 20
MOST_MS = 200.0
NOBODY = "number:-1"
"""An argument that no task has: as much is looked at as one page may."""


def million(rounds: int) -> list[Figure]:
    """Each request with 1,000,000 waiting tasks, and with 1,000: the slowest but one of twenty."""
    few, many = _asked(FEW, rounds), _asked(MANY, rounds)
    return [
        Figure(
            f"{what} ({read:,} tasks read)" if read else what, median(times), "ms",
            f"with {FEW:,}: {short(median(few[what][0]))} ms", at_most=MOST_MS, samples=tuple(times),
        )
        for what, (times, read) in many.items()
    ]  # fmt: skip


def _asked(waiting: int, rounds: int) -> dict[str, tuple[list[float], int]]:
    """By what is asked: ms of each round, and how many tasks the answer says that it has read."""
    middle = encode(["default", 1, 1, "QUEUE", "default", waiting // 2])
    asks: dict[str, tuple[str, dict[str, str]]] = {
        "the first page of the list": ("tasks", {"state": "queued"}),
        "a page in the middle": ("tasks", {"state": "queued", "cursor": middle}),
        "a search by argument": ("tasks", {"state": "queued", "args": NOBODY}),
        "a search by type": ("tasks", {"type": "other"}),
        "the dashboard's first page": ("overview", {}),
        "its history of a week": ("history", {"range": "7d"}),
    }
    found: dict[str, tuple[list[float], int]] = {}
    with room() as place:
        place.app()
        noop.delay_many((number,) for number in range(waiting))
        with serving(place) as (port, _):
            for what, ask in asks.items():
                times = [percentile([_ms(port, *ask)[0] for _ in range(TURNS)], 0.95) for _ in range(rounds)]
                found[what] = times, _ms(port, *ask)[1].get("read", 0)
    return found


def _ms(port: int, path: str, query: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """How long an answer takes with its connection, and what it says."""
    connection, begun = http.client.HTTPConnection("127.0.0.1", port, timeout=30), time.perf_counter()
    connection.request("GET", f"/api/v1/{path}?{urlencode(query)}", headers={"X-API-Key": KEY})
    answer = connection.getresponse()
    body = answer.read()
    took_ms = (time.perf_counter() - begun) * 1000
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return took_ms, json.loads(body)
