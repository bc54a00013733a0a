"""What a handler can ask about the attempt that it runs in: `current()`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from distq import memory
from distq.codec import Call
from distq.errors import ConfigurationError, DistqError
from distq.message import CREATED, PRIORITIES, Message, attempt_of, parse
from distq.sensitive import hiding, without

if TYPE_CHECKING:
    from distq.task import Task

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

EVERY = 100
"""So many rows are done before it is remembered how far a task is."""

MOST_SAID = 1 << 63
"""Numbers of a progress are below it, so that everybody can read them."""

TASK, TYPE, TRACE = "distq_task", "distq_type", "distq_correlation"
"""Attributes of each log record that a handler makes: the task's id, its type, and its correlation id."""

CORRELATION, PARENT = "correlation_id", "parent_id"
"""Headers of what is enqueued in a handler."""
MOST_CORRELATION = 200
"""Bytes."""

Meter = Callable[[str, float], None]
"""(status, seconds): counts one ended attempt of a type."""


class Context:
    """One attempt of one task. Read it; changing it changes nothing.

    It is made from what the broker handed over, and read out only when asked: most attempts ask for nothing.
    """

    __slots__ = ("_call", "entry", "fence", "headers", "meter", "queue", "raw", "task")

    def __init__(
        self,
        entry: bytes,
        raw: bytes,
        call: Call,
        queue: str,
        fence: int,
        task: Task[Any, Any, Any],
        meter: Meter | None,
    ) -> None:
        self.entry = entry
        """What the broker's lists hold of this task."""
        self.raw = raw
        """The call as it travelled, in bytes."""
        self._call = call
        self.headers: Mapping[str, Any] = call[2]
        """Small plain data that travelled with the call."""
        self.queue = queue
        self.fence = fence
        """Rises with each hand-over of any task of this queue: a resource that keeps the highest fence it has seen can
        refuse a worker that was stopped between its last check and the call."""
        self.task = task
        self.meter = meter

    @property
    def args(self) -> list[Any]:
        """Positional arguments of the call."""
        return self._call[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the call."""
        return self._call[1]

    def replace_arguments(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """The worker has made arguments of now out of those of an older version, before anybody reads them."""
        self._call = (args, kwargs, self._call[2])

    @property
    def id(self) -> str:
        """The task's id."""
        return self.entry.partition(b" ")[0].decode("utf-8", "replace")

    @property
    def ids(self) -> list[str]:
        """The ids of all tasks for which the handler was called; several in a batch."""
        return [self.id]

    @property
    def items(self) -> Sequence[Context]:
        """What there is to know of each of them: `current().items[3].attempt` is that of the fourth item."""
        return (self,)

    @property
    def message(self) -> Message:
        """The call as it travelled."""
        return parse(self.raw)

    @property
    def created_ms(self) -> float:
        """`enqueued_at` as milliseconds since 1970."""
        created_ms: float = CREATED.unpack_from(self.raw)[0]
        return created_ms

    @property
    def type(self) -> str:
        """The task's type."""
        return self.task.type

    @property
    def attempt(self) -> int:
        """1 at the first attempt; each retry adds one, a snooze or a lost worker none."""
        return attempt_of(self.raw) + 1

    @property
    def delivery(self) -> int:
        """1 unless the task's process died with it alone; each such death adds one."""
        return self.message.deliveries + 1

    @property
    def priority(self) -> str:
        """high, default or low."""
        return PRIORITIES[self.message.priority]

    @property
    def enqueued_at(self) -> datetime:
        """When the broker took the task, by its clock (UTC)."""
        return datetime.fromtimestamp(self.created_ms / 1000, UTC)

    @property
    def deadline(self) -> datetime | None:
        """Until when the task may start (`expires=`), by the broker's clock (UTC); None for ever."""
        expires = self.message.expires_ms
        return datetime.fromtimestamp(expires / 1000, UTC) if expires else None

    @property
    def correlation_id(self) -> str:
        """The same for all tasks that come from one another: the id of the first one, or what its caller has given in
        `headers`."""
        return id_in(self.headers, CORRELATION) or self.id

    @property
    def parent_id(self) -> str | None:
        """The task that has enqueued this one; None: it was no task."""
        return id_in(self.headers, PARENT)

    def passed_on(self) -> dict[str, Any]:
        """Headers of what is enqueued here."""
        return {CORRELATION: self.correlation_id, PARENT: self.id}

    def without_secrets(self, text: str) -> str:
        """A text without the values of sensitive arguments, as far as they stand in it as they are."""
        hidden = hiding(self.task.app.sensitive, self.headers, self.task, len(self.args))
        return without(hidden.secrets(self.args, self.kwargs), text)

    @property
    def worker(self) -> str:
        """The name of the worker that runs it, as the broker knows it."""
        desk = memory.desk_for(self)
        return "" if desk is None else desk.worker

    @property
    def is_last_attempt(self) -> bool:
        """Whether an error now would use up the retries."""
        return self.attempt > self.task.retries_of(self.headers)

    # -- long tasks: how far they are --------------------------------------------------------------------------------

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Says how far this attempt is; `handle.progress()` shows it soon. Cheap: call it as often as you like.

        `text` is cut after 200 characters. Raises TypeError for what is no number or no text, ValueError for a number
        that is not finite, or beyond 64 bits.
        """
        if type(done) is not int or not -MOST_SAID <= done < MOST_SAID:
            done = _shown("done", done)
        if total is not None and (type(total) is not int or not -MOST_SAID <= total < MOST_SAID):
            total = _shown("total", total)
        if type(text) is not str:
            raise TypeError(f"progress(text=…): give a str, not {type(text).__name__}")
        desk = memory.desk_for(self)
        if desk is not None:
            desk.report(self, done, total, text)

    # -- resumable tasks ---------------------------------------------------------------------------------------------

    def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function once in the life of this task: what it returned is remembered, and when the task runs
        again it is returned without a call. Each step has a name of its own.

        A process that is killed between the call and the note of it calls again. Between two steps a worker that ends
        interrupts the task, and another one goes on (`Interrupted`).
        """
        return memory.step(memory.memory_of(self), name, lambda: function(*args, **kwargs))

    async def astep(self, name: str, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`step` with an `async def` function."""
        return await memory.astep(memory.memory_of(self), name, lambda: function(*args, **kwargs))

    def resume(
        self,
        rows: Iterable[T] | Callable[[Any], Iterable[T]],
        *,
        key: Callable[[T], Any] | None = None,
        every: int = EVERY,
        name: str = "rows",
    ) -> Iterator[T]:
        """The rows that this task was not yet done with when it ran before. It is done with one when it asks for the
        next.

        They come in the same order each time; with `key`, in rising order of it, and between runs some may come or go.
        Instead of rows, a function that is called with the key of the last row that was done (at first None), and gives
        those behind it. How far the task has come is remembered after so many rows as `every` says, when it is
        interrupted, and when it fails.
        """
        return memory.resume(memory.memory_of(self), name, rows, key, _number(every))

    def aresume(
        self,
        rows: AsyncIterable[T] | Callable[[Any], AsyncIterable[T]],
        *,
        key: Callable[[T], Any] | None = None,
        every: int = EVERY,
        name: str = "rows",
    ) -> AsyncIterator[T]:
        """`resume` for `async for`."""
        return memory.aresume(memory.memory_of(self), name, rows, key, _number(every))

    def __repr__(self) -> str:
        return f"<Context {self.type} {self.id} attempt {self.attempt}>"


class BatchContext(Context):
    """One call of a handler for many tasks. What is said of one task is said of the first of them; progress, steps and
    rows belong to one task, so a batch has none."""

    __slots__ = ("_items",)

    def __init__(self, items: Sequence[Context], values: list[Any]) -> None:
        first = items[0]
        super().__init__(first.entry, first.raw, ([values], {}, {}), first.queue, first.fence, first.task, first.meter)
        self._items = items

    @property
    def ids(self) -> list[str]:
        """By their place in the list."""
        return [item.id for item in self._items]

    @property
    def items(self) -> Sequence[Context]:
        """Likewise."""
        return self._items

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Of a batch nothing is shown."""
        raise DistqError("current().progress() is for one task, and this is a batch of several")


def id_in(headers: Mapping[str, Any], name: str) -> str | None:
    """What headers say of where a task comes from, if it can be that: they may come from anybody."""
    said = headers.get(name)
    if not isinstance(said, str) or not said or not said.isprintable():
        return None
    return said if len(said.encode()) <= MOST_CORRELATION else None


def _shown(name: str, value: Any) -> float:
    """What knows itself as a number (of numpy, a Decimal) is one."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        number = value.__index__() if hasattr(value, "__index__") else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"progress({name}=…): give a number, not {type(value).__name__}") from None
    except OverflowError:
        number = MOST_SAID
    if not -MOST_SAID <= number < MOST_SAID:
        raise ValueError(f"progress({name}=…): give a number from -2**63 to 2**63, or leave it out")
    return cast("float", number)


def _number(every: object) -> int:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ConfigurationError(f"every={every!r:.80}: give a number of rows, at least 1")
    return every


CURRENT: ContextVar[Context | None] = ContextVar("distq.current", default=None)


def current() -> Context:
    """The running attempt. Raises DistqError outside of a handler."""
    context = CURRENT.get()
    if context is None:
        raise DistqError("current() was called outside of a running task")
    return context
