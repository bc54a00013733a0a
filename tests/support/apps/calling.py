"""Tasks for tests of producers and handles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from distq import Distq, current
from tests.support.gates import pass_gate
from tests.support.journal import running

app = Distq("app")
app.queue("other")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: float


class Order(BaseModel):
    number: int
    points: list[Point]


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(type="async-add")
async def async_add(a: int, b: int = 0) -> int:
    return a + b


@app.task
def echo(value: Any) -> Any:
    with running():
        return value


@app.task
def repaint(colour: Colour) -> Colour:
    assert isinstance(colour, Colour)
    return Colour.BLUE if colour is Colour.RED else Colour.RED


@app.task
def move(point: Point) -> Point:
    assert isinstance(point, Point)
    return Point(point.x + 1, point.y)


@app.task
def extend(order: Order) -> Order:
    assert isinstance(order, Order)
    return Order(number=order.number, points=[*order.points, Point(0, 0.5)])


@app.task(retries=0)
def fail(text: str) -> None:
    raise LookupError(text)


@app.task
def hold(gate: str, value: Any = None) -> Any:
    """Runs until a file of this name exists."""
    with running():
        pass_gate(gate)
    return value


@app.task(result_ttl=0)
def silent() -> int:
    with running():
        return 1


@app.task
def about_me() -> dict[str, Any]:
    context = current()
    return {
        "id": context.id, "type": context.type, "attempt": context.attempt, "delivery": context.delivery,
        "fence": context.fence, "queue": context.queue, "priority": context.priority, "headers": dict(context.headers),
        "enqueued_at": context.enqueued_at, "deadline": context.deadline,
    }  # fmt: skip
