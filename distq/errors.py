"""Every error that distq raises, in one tree. This module owns the names; it decides nothing.

    DistqError
    ├── ConfigurationError          a setting, name, option or declaration is wrong (raised at declaration or start-up)
    │   ├── UnknownOption           an option that does not exist; the hint names the nearest one
    │   ├── DuplicateTask           two handlers claim one type
    │   └── LoadError               `module:app` cannot be imported or is not a Distq
    ├── NotSerializable             a value cannot travel; names its path, raised by `.delay()` or for a result
    ├── PayloadTooLarge             a message is above the limit (1 MiB by default), raised by `.delay()`
    ├── UnknownQueue                a queue that the application has not declared
    ├── UnknownSchedule             no schedule of this name is in the broker
    ├── AlreadyEnqueued             `on_duplicate="raise"`: there is a task already for such a call; its id is told
    ├── BudgetExhausted             `acquire(timeout=…)` cannot have it in time (also a TimeoutError)
    ├── QueueFull                   `max_pending=`: so many wait already that there is no room, raised by `.delay()`
    ├── BrokerError                 the broker cannot do what was asked
    │   ├── BrokerUnavailable       no answer within the time limit: nothing is known to have happened, try again
    │   │   └── NotDurable          `durable=True`: replicas or disk did not confirm it in time; it may be queued
    │   ├── BrokerFull              out of memory with `noeviction`: nothing was written
    │   └── LayoutMismatch          the keys in the broker are of an incompatible release
    └── TaskError                   about one requested call, raised by a handle's `.get()`
        ├── TaskFailed              it ended in the dead letters; carries type, message and remote traceback
        ├── TaskCancelled           it was cancelled
        ├── TaskExpired             its `expires=` passed before it could start
        ├── ResultTimeout           `timeout` passed before it ended (also a TimeoutError)
        ├── ResultNotKept           it keeps no result (`result_ttl=0`): there is nothing to wait for
        ├── NotWaiting              it runs or has ended: only what waits can be given another time, priority or queue
        └── UnknownTask             no task of this id is known: it never was, or its result's time is over

The directives that a handler raises (Retry, Reject, Snooze, RateLimited) are not errors: they live in `distq.outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any


class DistqError(Exception):
    """Base of all errors of distq."""


class ConfigurationError(DistqError):
    """A setting, name or declaration is wrong. Raised at the earliest moment: declaration or start-up."""


class UnknownOption(ConfigurationError):
    """An option that does not exist. The message lists the nearest one that does."""


class DuplicateTask(ConfigurationError):
    """Two handlers claim the same type. Give one of them another `type=`."""


class LoadError(ConfigurationError):
    """`module:app` cannot be imported, or names something that is not a Distq application."""


class NotSerializable(DistqError, TypeError):
    """A value cannot travel through the broker. The message names its path, its class and what to do instead."""


class PayloadTooLarge(DistqError, ValueError):
    """A message is larger than the limit (1 MiB by default). Store the data elsewhere and pass its address."""


class UnknownQueue(DistqError, ValueError):
    """A queue that the application has not declared. Declare it: `app.queue("name")`."""


class UnknownSchedule(DistqError, ValueError):
    """No schedule of this name is in the broker: it never was, or it was deleted or retired."""


class AlreadyEnqueued(DistqError):
    """A unique call with `on_duplicate="raise"` met a task that is there for it already; `id` is that one's.

    Of `delay_many` it is the first one that is met; all the other calls are made, and `handles` has the tasks of all.
    """

    def __init__(self, message: str, id: str = "", handles: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.id, self.handles = id, list(handles)

    def __reduce__(self) -> tuple[Any, ...]:
        return AlreadyEnqueued, (*self.args, self.id)


class BudgetExhausted(DistqError, TimeoutError):
    """A budget has too little for this call, and will not have more within its `timeout`; nothing was taken.
    `retry_after` says in how many seconds it would have been there."""

    retry_after: float = 0.0


class QueueFull(DistqError):
    """So many tasks wait already, of the queue or of the type, that there is no room: nothing was enqueued.

    `retry_after` (seconds): when there may be room, by how fast the queue has emptied lately. `limit`: its
    `max_pending`. `count`: how many wait. `handles`: those calls of a `delay_many` for which there was room; in a call
    with `on_full="block"` the time to wait was over.
    """

    retry_after: float = 1.0
    limit: int = 0
    count: int = 0
    handles: Sequence[Any] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return QueueFull, self.args, {"retry_after": self.retry_after, "limit": self.limit, "count": self.count}


class BrokerError(DistqError):
    """The broker cannot do what was asked."""


class BrokerUnavailable(BrokerError, ConnectionError):
    """The broker gave no answer within the time limit. A call that raised this can safely be repeated."""


class NotDurable(BrokerUnavailable):
    """A call with `durable=True` was not confirmed in time, by all replicas or the disk. It may be queued all the same.

    `id` is the task's (the first one's of `delay_many`). `again()` sends the very same call once more and returns what
    the call would have returned (for `adelay`: to be awaited); a task that is there is recognized, also for a minute
    after its end.
    """

    id: str = ""
    again: Callable[[], Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return NotDurable, self.args, {"id": self.id}


class BrokerFull(BrokerError):
    """The broker is out of memory (`maxmemory` with `noeviction`); nothing was written."""


class LayoutMismatch(BrokerError):
    """The keys in the broker were written by an incompatible release of distq."""


class TaskError(DistqError):
    """About one requested call; raised when its result is asked for."""

    def __init__(self, message: str, *, id: str = "") -> None:
        super().__init__(message)
        self.id = id


class TaskFailed(TaskError):
    """The task ended in the dead letters.

    `type` is the qualified name of the exception's class in the worker, `message` its text and
    `traceback` the remote traceback as text (all data: nothing is imported or rebuilt from them).
    """

    def __init__(self, *, id: str, type: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type}: {message}" if message else type, id=id)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        again = partial(TaskFailed, id=self.id, type=self.type, message=self.message, traceback=self.traceback)
        return again, (), vars(self)


class TaskCancelled(TaskError):
    """The task was cancelled. `by` is who asked for it, as `cancel(by=…)` was told."""

    by: str = ""


class TaskExpired(TaskError):
    """The task could not start before its `expires=`."""


class ResultTimeout(TaskError, TimeoutError):
    """The task did not end within `timeout`. It goes on; ask again later."""


class ResultNotKept(TaskError):
    """The task keeps no result (`result_ttl=0`), so there is nothing to wait for."""


class NotWaiting(TaskError):
    """The task runs, or has ended: only what waits can be given another time, priority or queue."""


class UnknownTask(TaskError):
    """No task of this id is known to the broker: it never was, or the time of its result is over."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: ' (did you mean `priority`?)', or '' if nothing is near."""
    import difflib  # noqa: PLC0415 (only who has erred needs it)

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
