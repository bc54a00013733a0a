"""Handlers that are given the items of many calls."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from distq import Batch, BatchFailed, Distq, current
from tests.support.journal import write

app = Distq("app")


@app.task(batch=Batch(5, within="0.3s", per="shard"), retries=2, backoff=0.01)
def index(docs: list[dict[str, Any]]) -> list[Any]:
    """Says who is together; `fails` items fail so often."""
    write("START", ",".join(str(doc["name"]) for doc in docs))
    attempts = [one.attempt for one in current().items]
    assert len(current().ids) == len(docs)
    return [
        ValueError("not yet") if attempt <= doc.get("fails", 0) else f"{doc['name']}!"
        for doc, attempt in zip(docs, attempts, strict=True)
    ]


@app.task(batch=Batch(3, within="20s"), retries=1, backoff=0.01)
async def apart(items: list[int]) -> None:
    write("START", ",".join(map(str, items)))
    if failed := {place: ValueError("odd") for place, item in enumerate(items) if item % 2}:
        raise BatchFailed(failed)


@app.task(batch=Batch(4, within="20s"), retries=0)
def poisoned(items: list[str]) -> None:
    write("START", ",".join(items))
    if "poison" in items:
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(batch=Batch(3, within="20s"), max_deliveries=1)
def once(items: list[int]) -> None:
    write("START", ",".join(map(str, items)))
    if 2 in items:
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(batch=Batch(3, within="20s"), retries=0, time_limit="1s")
def stuck(items: list[str]) -> None:
    write("START", ",".join(items))
    if "stuck" in items:
        time.sleep(60)


@app.task(batch=Batch(3, within="20s"), retries=0, soft_time_limit="0.5s")
def slow(items: list[str]) -> None:
    write("START", ",".join(items))
    while True:
        time.sleep(0.01)


@app.task(batch=Batch(2, within="20s"))
def gated(items: list[str]) -> None:
    write("START", ",".join(sorted(items)))
    while not Path(items[0]).exists():
        time.sleep(0.005)
