"""distq: a task queue on Redis and Valkey that is fast and loses nothing.

from distq import Distq

app = Distq("shop")

@app.task
def send_email(to: str, subject: str) -> None: ...

send_email.delay("a@example.com", subject="Hi")
"""

import typing

from distq.app import Distq
from distq.batch import Batch, BatchFailed
from distq.context import Context, current
from distq.errors import (
    AlreadyEnqueued,
    BrokerError,
    BrokerFull,
    BrokerUnavailable,
    BudgetExhausted,
    ConfigurationError,
    DistqError,
    DuplicateTask,
    LayoutMismatch,
    LoadError,
    NotDurable,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    QueueFull,
    ResultNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    UnknownOption,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
)
from distq.lifecycle import AsyncResource, Resource
from distq.memory import Progress
from distq.middleware import Middleware, Outgoing
from distq.options import RetryRule
from distq.outcome import Cancelled, Interrupted, RateLimited, Reject, Retry, Snooze, SoftTimeLimit, TimeLimit
from distq.result import Handle
from distq.task import Task

if typing.TYPE_CHECKING:
    from distq.budget import Budget, BudgetState
    from distq.controls import Limit, Pause, TypeLimits
    from distq.gates import Gate
    from distq.schedules import Schedule
    from distq.why import Why

__version__ = "0.1.0"

__all__ = [
    "AlreadyEnqueued",
    "AsyncResource",
    "Batch",
    "BatchFailed",
    "BrokerError",
    "BrokerFull",
    "BrokerUnavailable",
    "Budget",
    "BudgetExhausted",
    "BudgetState",
    "Cancelled",
    "ConfigurationError",
    "Context",
    "Distq",
    "DistqError",
    "DuplicateTask",
    "Gate",
    "Handle",
    "Interrupted",
    "LayoutMismatch",
    "Limit",
    "LoadError",
    "Middleware",
    "NotDurable",
    "NotSerializable",
    "NotWaiting",
    "Outgoing",
    "Pause",
    "PayloadTooLarge",
    "Progress",
    "QueueFull",
    "RateLimited",
    "Reject",
    "Resource",
    "ResultNotKept",
    "ResultTimeout",
    "Retry",
    "RetryRule",
    "Schedule",
    "Snooze",
    "SoftTimeLimit",
    "Task",
    "TaskCancelled",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TimeLimit",
    "TypeLimits",
    "UnknownOption",
    "UnknownQueue",
    "UnknownSchedule",
    "UnknownTask",
    "Why",
    "current",
]

_LATER = {
    "Budget": "distq.budget",
    "BudgetState": "distq.budget",
    "Gate": "distq.gates",
    "Limit": "distq.controls",
    "Pause": "distq.controls",
    "Schedule": "distq.schedules",
    "TypeLimits": "distq.controls",
    "Why": "distq.why",
}
"""Imported when first asked for: not every worker has a use for them, and each process of a host would pay."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'distq' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 (here alone: it is no public name)

    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
