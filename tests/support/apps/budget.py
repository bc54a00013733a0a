"""Tasks that share budgets, with each other and with programs."""

from __future__ import annotations

import os
from pathlib import Path

from distq import Distq, RateLimited, current
from tests.support.journal import PLACE, Journal, running, write

app = Distq("app")
shared = app.budget("shared", "20/s burst 2", "200 tokens/s burst 30")
keyed = app.budget("keyed", "1000/s burst 100", per="api_key")
refusing = app.budget("refusing", "1000/s burst 100")


def is_first(label: str) -> bool:
    """Whether this task has begun once."""
    return len(Journal(Path(os.environ[PLACE])).starts(current().id, label)) == 1


@app.task(limits=[shared(cost="tokens")])
def one(tokens: int) -> None:
    with running(str(tokens)):
        pass


@app.task(limits=[shared(cost=lambda p: 2 * p["half"])])
def other(half: int) -> None:
    with running(str(2 * half)):
        pass


@app.task(limits=[keyed()])
def per_key(api_key: str, refused: float = 0) -> None:
    write("START", api_key)
    if refused and is_first(api_key):
        raise RateLimited(refused, budget=keyed)


@app.task(limits=[refusing()], retries=0)
def refused_once(seconds: float) -> None:
    write("START", str(seconds))
    if is_first(str(seconds)):
        raise RateLimited(seconds, budget=refusing)


@app.task(limits=[refusing()])
def beside() -> None:
    write("START", "beside")
