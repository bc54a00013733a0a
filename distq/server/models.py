"""What answers hold: the models of the document. Answers are made from plain values; tests compare both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["queued", "scheduled", "running", "completed", "dead", "cancelled", "expired", "unknown"]


class Created(BaseModel):
    """A call that the broker has. `created` is false when its id was there already: nothing was changed then."""

    id: str
    queue: str
    created: bool


class ManyCreated(BaseModel):
    """The ids of many calls, in their order."""

    ids: list[str]
    number: int
    created: int


class RemoteError(BaseModel):
    """The error that a task ended with, as text."""

    type: str
    message: str
    traceback: str


class ResultDetails(BaseModel):
    """How a task ended, or its state if it has not."""

    id: str
    status: State
    result: Any = None
    error: RemoteError | None = None
    is_kept: bool | None = None
    """False: the task keeps no result."""


class TaskDetails(BaseModel):
    """All that is known of a task. Times are in milliseconds since 1970."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: State
    queue: str
    attempts: list[dict[str, Any]]


class Cancelled(BaseModel):
    """What became of a cancel: it has ended, or, if it ran, its worker was told."""

    id: str
    outcome: Literal["cancelled", "ordered"]


class Depths(BaseModel):
    """How many tasks of a queue are in which state, and how many workers serve it."""

    queue: str
    high: int
    default: int
    low: int
    scheduled: int
    running: int
    dead: int
    live: int
    in_lanes: int
    workers: int


class Queues(BaseModel):
    """All queues."""

    queues: list[Depths]


class Purged(BaseModel):
    """How many were taken, or would be."""

    number: int
    dry_run: bool
