"""What answers hold: the models of the document. Answers are made from plain values; tests compare both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from distq.broker.inspect import DeadLetter

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
    correlation_id: str
    """The same for all tasks that come from one another."""
    attempts: list[dict[str, Any]]
    timeline: list[dict[str, Any]]
    """Its life, event by event; the last one may be to come."""


class Gate(BaseModel):
    """One reason why a task does not run: its name, a sentence, and its numbers."""

    name: str
    text: str
    facts: dict[str, Any]


class WhyDetails(BaseModel):
    """Why a task is not running, or what has become of it. `waiting` is in seconds since its call."""

    id: str
    state: State
    queue: str
    type: str
    priority: str
    waiting: float
    gates: list[Gate]


class Cancelled(BaseModel):
    """What became of a cancel: it has ended, or, if it ran, its worker was told."""

    id: str
    outcome: Literal["cancelled", "ordered"]


class Rescheduled(BaseModel):
    """A task that has another time or priority now."""

    id: str
    queue: str
    status: str


class Swept(BaseModel):
    """How many tasks a filter has meant, or that were changed; how many were left as they are, by the reason. With a
    `next` there may be more."""

    number: int
    dry_run: bool
    left: dict[str, int]
    examples: list[dict[str, Any]]
    next: str | None


class Depths(BaseModel):
    """How many tasks of a queue are in which state, and how many workers serve it; `moving`: moves to or from
    another queue that are not over."""

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
    moving: int


class Queues(BaseModel):
    """All queues."""

    queues: list[Depths]


class Purged(BaseModel):
    """How many were taken, or would be."""

    number: int
    dry_run: bool


class Forgotten(BaseModel):
    """Of how many tasks nothing is kept any more."""

    number: int


class FoundTask(BaseModel):
    """A task that was found. `call`: its arguments in one line, or how large they are."""

    model_config = ConfigDict(extra="allow")

    id: str
    state: State
    queue: str


class FoundTasks(BaseModel):
    """A page of them; `next` is the cursor of the one behind it, `read` how many were looked at."""

    tasks: list[FoundTask]
    next: str | None
    read: int


class DeadLetters(BaseModel):
    """A page of them."""

    dead: list[DeadLetter]
    next: str | None


class DeadGroup(BaseModel):
    """Dead letters of one type, one class of error, and one place where it was raised."""

    type: str
    error: str
    frame: str
    number: int
    newest_at_ms: int
    oldest_at_ms: int
    newest_id: str
    newest_message: str


class DeadGroups(BaseModel):
    """All groups."""

    groups: list[DeadGroup]
    complete: bool


class Replayed(BaseModel):
    """How many dead letters were replayed or deleted, or would be; `complete`: there are no more of that kind."""

    number: int
    dry_run: bool
    complete: bool


class Held(BaseModel):
    """A task that a worker holds."""

    queue: str
    id: str


class WorkerDetails(BaseModel):
    """One worker process."""

    name: str
    lease_left_ms: int
    holds: list[Held]


class HostDetails(BaseModel):
    """One worker host."""

    host: str
    about: dict[str, Any]
    workers: list[WorkerDetails]


class Hosts(BaseModel):
    """All that are registered."""

    hosts: list[HostDetails]


Order = Literal["quiet", "resume", "restart", "stacks", "stop"]


class Ordered(BaseModel):
    """What a host was told."""

    host: str
    order: Order


class Stacks(BaseModel):
    """What the processes of a host were at when somebody asked, if that was in the last minute."""

    host: str
    text: str


class Action(BaseModel):
    """What somebody has done: the name of the key, method and path, and the body or the beginning of it."""

    at_ms: int
    who: str
    what: str
    said: str


class Actions(BaseModel):
    """The newest first."""

    actions: list[Action]


class Stats(BaseModel):
    """Events of tasks since the queues were made, the ledger's difference (0), depths by queue, events by type."""

    at_ms: int
    totals: dict[str, int]
    difference: int
    queues: list[Depths]
    types: dict[str, dict[str, int]]


class ScheduleDetails(BaseModel):
    """A schedule. Times are ISO 8601, in its zone; `next` has its next five ticks, none while it is paused."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: str
    queue: str
    when: str
    tz: str
    args: list[Any]
    kwargs: dict[str, Any]
    jitter: float
    overlap: str
    missed: str
    state: Literal["active", "paused", "orphaned"]
    next: list[str]


class Schedules(BaseModel):
    """All that are in the broker."""

    schedules: list[ScheduleDetails]


class Changed(BaseModel):
    """Whether anything is other than before."""

    changed: bool


class PauseDetails(BaseModel):
    """What is paused: a queue, a type in it, or a key of that type. `since` is ISO 8601."""

    queue: str
    type: str | None
    key: str | None
    by: str
    since: str
    reason: str


class Pauses(BaseModel):
    """All of them."""

    pauses: list[PauseDetails]


class Limit(BaseModel):
    """What limits a type; null: nothing."""

    rate: str | None
    max_running: int | None
    rate_per_key: str | None
    max_running_per_key: int | None


class TypeLimits(BaseModel):
    """The limits of one type in one queue: those that hold, those of the code, and who has set others, if `is_set`."""

    type: str
    queue: str
    now: Limit
    declared: Limit
    is_set: bool
    by: str
    since: str | None


class Limits(BaseModel):
    """Types that are limited."""

    limits: list[TypeLimits]


class AmountLeft(BaseModel):
    """One amount of a budget, in calls or in a unit; `left`: how much is there now, null where no key is named."""

    rate: str
    unit: str
    left: float | None


class BudgetDetails(BaseModel):
    """A budget, or one of its keys. `parked_until` is ISO 8601."""

    name: str
    queue: str
    has_keys: bool
    key: str | None
    amounts: list[AmountLeft]
    parked_until: str | None


class Budgets(BaseModel):
    """All that the application declares."""

    budgets: list[BudgetDetails]
