"""What processes open once has a type, and so has what a task remembers."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import assert_type

from distq import AsyncResource, Distq, Resource, current

app = Distq("shop", broker="redis://localhost:6379/0")


@app.resource
def database() -> Iterator[sqlite3.Connection]:
    yield sqlite3.connect(":memory:")


@app.resource
async def prices() -> AsyncIterator[dict[str, int]]:
    yield {}


@app.resource
@contextmanager
def folder() -> Generator[Path]:
    yield Path()


def given() -> AbstractContextManager[int]:
    raise NotImplementedError


@app.on_worker_start
def begin() -> None: ...


def charge(order: str, cents: int) -> bool:
    return order != "" and cents > 0


async def ship(order: str) -> int:
    return len(order)


@app.task
async def fulfil(order: str) -> None:
    assert_type(database, Resource[sqlite3.Connection])
    assert_type(database(), sqlite3.Connection)
    assert_type(prices, AsyncResource[dict[str, int]])
    assert_type(await prices(), dict[str, int])
    assert_type(folder(), Path)
    assert_type(app.resource(given)(), int)
    assert_type(begin(), None)

    task = current()
    task.progress(1, 2, "shipping")
    assert_type(task.step("charge", charge, order, cents=5), bool)
    task.step("charge", charge, order)  # error
    task.step("charge", charge, order, cents="5")  # error
    assert_type(await task.astep("ship", ship, order), int)
    await task.astep("ship", ship, 5)  # error
    for row in task.resume([1, 2], key=lambda row: -row):
        assert_type(row, int)
        row.upper()  # error
    task.progress("half")  # error
    task.resume(17)  # error
