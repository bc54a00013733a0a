"""What the last release and the working tree both know."""

from __future__ import annotations

from distq import Distq

app = Distq("app", backoff=0.01)


@app.task
def add(left: int, right: int) -> int:
    return left + right


@app.task
def fails() -> None:
    raise ValueError("as it should")
