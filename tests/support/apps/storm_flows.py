"""Work of every kind whose flow is bounded, beside that of `storm`: for hosts and producers that know of it."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from typing import TypedDict

from distq import Batch, RateLimited, current
from tests.support import journal
from tests.support.apps.storm import HOST, app, running

__all__ = ["app"]

MOST_AT_ONCE = 2
SIZE = 20
PARKED_S = 0.2

quota = app.budget("quota", "60 units/s burst 20", per="key")


class Item(TypedDict):
    """Of a batch."""

    label: str
    key: str
    fails: bool


@app.task(rate="20/s burst 5 per key")
def at_its_rate(label: str, key: str) -> int:
    with running(label):
        return current().fence


@app.task(max_running=MOST_AT_ONCE)
def few_at_once(label: str, seconds: float) -> int:
    with running(label):
        time.sleep(seconds)
        return current().fence


@app.task(max_running="1 per key")
def one_at_once(label: str, key: str, seconds: float) -> int:
    with running(label):
        time.sleep(seconds)
        return current().fence


@app.task(ordered="key", backoff=0.3)
def in_order(label: str, key: str, failures: int) -> int:
    with running(label):
        if current().attempt <= failures:
            raise ValueError(f"attempt {current().attempt} fails")
        return current().fence


@app.task(fair="key")
def in_turn(label: str, key: str) -> int:
    with running(label):
        return current().fence


@app.task(unique="key")
def one_there(label: str, key: str, seconds: float) -> int:
    with running(label):
        time.sleep(seconds)
        return current().fence


@app.task(unique="key", unique_until="start")
def one_waiting(label: str, key: str, seconds: float) -> int:
    with running(label):
        time.sleep(seconds)
        return current().fence


@app.task(limits=[quota(cost=lambda p: p["cost"])])
def budgeted(label: str, key: str, cost: int, refused: bool) -> int:
    """Some are refused, now and then."""
    with running(label):
        if refused and random.random() < 0.5:
            journal.write("REFUSED", label)
            raise RateLimited(PARKED_S, budget=quota)
        return current().fence


@app.task(batch=Batch(SIZE, within="0.5s", per="key"))
def batched(items: list[Item]) -> list[int | Exception]:
    """Some fail at their first attempt."""
    host = os.environ.get(HOST, "")
    with ExitStack() as stack:
        for item, context in zip(items, current().items, strict=True):
            stack.enter_context(journal.running(f"{item['label']}@{host}", context))
        return [
            ValueError("not yet") if item["fails"] and context.attempt == 1 else context.fence
            for item, context in zip(items, current().items, strict=True)
        ]
