"""The handle of one requested call: its state, its result, cancelling it. It waits by blocking on the broker's push."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from distq.broker import memory, verbs
from distq.broker.forward import ENDED, moved_to
from distq.context import CURRENT
from distq.errors import (
    DistqError,
    ResultNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    UnknownTask,
)
from distq.memory import Progress, progress_in
from distq.message import NEVER_SAID, check_by, parse, untyped
from distq.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from distq.app import Distq
    from distq.durations import Duration
    from distq.options import Priority

R = TypeVar("R")
T = TypeVar("T")
_PENDING = object()
NOT_HERE = (None, "unknown", "ended", "taken")
"""What is said, too, of a task that went to another queue."""


class Handle(Generic[R]):
    """One requested call. Cheap, picklable by its id: `app.result(id)` gives an equal one anywhere.

    `created` is False when `.options(id=…)` met a live task of that id, which this handle then stands for.
    """

    __slots__ = ("_app", "created", "id", "queue")

    def __init__(self, app: Distq, id: str, queue: str | None, created: bool = True) -> None:
        self._app = app
        self.id = id
        self.queue = queue
        self.created = created

    def status(self) -> State:
        """queued, scheduled, running, completed, dead, cancelled, expired or unknown."""
        return self._state(self._look())

    def get(self, timeout: float | None = None) -> R:
        """The handler's return value; waits for it at most `timeout` seconds (None: for ever).

        Raises TaskFailed, TaskCancelled or TaskExpired when it ended so, ResultTimeout when it has not ended in time,
        ResultNotKept if the task keeps no result (at once: it does not wait), and UnknownTask if the broker knows no
        such task. In a handler it needs a timeout: DistqError.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        waits = timeout is None or timeout > 0
        while True:
            value = self._ended(self._look(waits))
            if value is not _PENDING:
                return cast("R", value)
            _check_place(give_up)
            left = _seconds_left(give_up)
            if left <= 0:
                raise ResultTimeout(f"task {self.id} has not ended within {timeout} s", id=self.id)
            element = self._app.broker.wait_result(cast("str", self.queue), self.id, left)
            if element is not None and moved_to(element) is None:
                return cast("R", self._unwrap(element))

    def cancel(self, *, running: bool = False, kill: bool = False, by: str = "handle") -> bool:
        """Ends the task if it still waits (queued, scheduled). False: it runs already, or has ended, or is unknown.

        `running`: also if it runs: `Cancelled` is raised in its handler soon, and it does not wait again, whatever that
        makes of it. True then means that it was ordered; `get()` says how it ended. `kill`: its process is ended.
        `by`: who asks, for those who look at the task or wait for it.
        """
        check_by(by)
        broker, mode = self._app.broker, _mode(running, kill)
        word = self._where_it_is(lambda: broker.run(verbs.cancel(self._prefix(), self.id, by, mode)))
        return word in ("cancelled", "ordered")

    def progress(self) -> Progress | None:
        """How far the task is, as its handler has last said with `current().progress()`. None if it has not, and when
        it has ended, other than dead."""
        exchange = self._app.broker.exchange
        return progress_in(self._where_it_is(lambda: exchange.request(memory.progress(self._prefix(), self.id))))

    def reschedule(
        self,
        *,
        delay: Duration | None = None,
        eta: datetime | None = None,
        priority: Priority | None = None,
        queue: str | None = None,
    ) -> None:
        """Gives a task that waits another time (`delay=0`: now), priority or queue; all else of it stays as it is. It
        comes to the end of where it waits from now on.

        Raises NotWaiting if it runs or has ended, UnknownTask, UnknownQueue, and ConfigurationError for what cannot be:
        a time after its `expires`, another priority for a type whose tasks run in order, another queue for one whose
        limits or names hold for its own.
        """
        from distq import changing  # noqa: PLC0415 (not for every host)
        from distq.broker import moves  # noqa: PLC0415

        change, broker = moves.change(delay, eta, priority, queue), self._app.broker
        if queue is not None:
            changing.check_queue(self._app, queue, broker.known_queues())
            broker.open(queue)
        self._prefix()

        def ask() -> str:
            steps = changing.steps(broker.prefix, str(self.queue), [self.id], queue, change)
            return changing.run(broker.run, steps)[0]

        word = self._where_it_is(ask)
        moves.check(self.id, word)
        self.queue = queue if word == "moved" else self.queue

    async def areschedule(
        self,
        *,
        delay: Duration | None = None,
        eta: datetime | None = None,
        priority: Priority | None = None,
        queue: str | None = None,
    ) -> None:
        """`reschedule()` for asyncio."""
        from distq import changing  # noqa: PLC0415 (not for every host)
        from distq.broker import moves  # noqa: PLC0415

        change, broker = moves.change(delay, eta, priority, queue), self._app.async_broker
        if queue is not None:
            changing.check_queue(self._app, queue, await broker.known_queues())
            await broker.open(queue)
        if self.queue is None:
            await self._alook()

        async def ask() -> str:
            steps = changing.steps(broker.prefix, str(self.queue), [self.id], queue, change)
            return (await changing.arun(broker.run, steps))[0]

        word = await self._awhere_it_is(ask)
        moves.check(self.id, word)
        self.queue = queue if word == "moved" else self.queue

    async def aprogress(self) -> Progress | None:
        """`progress()` for asyncio."""
        if self.queue is None:
            await self._alook()
        broker = self._app.async_broker

        async def ask() -> Any:
            return await broker.request(memory.progress(broker.prefix(str(self.queue)), self.id))

        return progress_in(await self._awhere_it_is(ask))

    async def astatus(self) -> State:
        """`status()` for asyncio."""
        return self._state(await self._alook())

    async def aget(self, timeout: float | None = None) -> R:
        """`get()` for asyncio."""
        give_up = None if timeout is None else time.monotonic() + timeout
        waits = timeout is None or timeout > 0
        while True:
            value = self._ended(await self._alook(waits))
            if value is not _PENDING:
                return cast("R", value)
            _check_place(give_up)
            left = _seconds_left(give_up)
            if left <= 0:
                raise ResultTimeout(f"task {self.id} has not ended within {timeout} s", id=self.id)
            element = await self._app.async_broker.wait_result(cast("str", self.queue), self.id, left)
            if element is not None and moved_to(element) is None:
                return cast("R", self._unwrap(element))

    async def acancel(self, *, running: bool = False, kill: bool = False, by: str = "handle") -> bool:
        """`cancel()` for asyncio."""
        check_by(by)
        await self._alook()
        prefix = self._app.broker.prefix(cast("str", self.queue))
        command = verbs.cancel(prefix, self.id, by, _mode(running, kill))
        return await self._app.async_broker.run(command) in ("cancelled", "ordered")

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (other.id, other._app.name) == (self.id, self._app.name)

    def __hash__(self) -> int:
        return hash(self.id)

    # -- what the broker's answer means ------------------------------------------------------------------------------

    def _prefix(self) -> str:
        if self.queue is None:
            self._look()
        return self._app.broker.prefix(cast("str", self.queue))

    def _look(self, waits: bool = False) -> verbs.Look:
        if self.queue is not None:
            look = self._app.broker.run(verbs.look(self._app.broker.prefix(self.queue), self.id, waits))
            if _is_here(look):
                return look
        queue, look = self._app.broker.find(self.id, self._app.queues_of(self.id), waits)
        return self._found(queue, look)

    async def _alook(self, waits: bool = False) -> verbs.Look:
        if self.queue is not None:
            broker = self._app.async_broker
            look = await broker.run(verbs.look(broker.prefix(self.queue), self.id, waits))
            if _is_here(look):
                return look
        queue, look = await self._app.async_broker.find(self.id, await self._app.aqueues_of(self.id), waits)
        return self._found(queue, look)

    def _where_it_is(self, ask: Callable[[], T]) -> T:
        """What the broker says; asked once more if the task has gone to another queue, which is its own from now on."""
        said, before = ask(), self.queue
        if said in NOT_HERE:
            self._look()
        return said if self.queue == before else ask()

    async def _awhere_it_is(self, ask: Callable[[], Awaitable[T]]) -> T:
        said, before = await ask(), self.queue
        if said in NOT_HERE:
            await self._alook()
        return said if self.queue == before else await ask()

    def _found(self, queue: str, look: verbs.Look) -> verbs.Look:
        if look.state != "unknown":
            self.queue = queue
        return look

    def _state(self, look: verbs.Look) -> State:
        if look.state != "ended":
            return look.state
        try:
            word, _ = self._read(cast("bytes", look.result))
        except TaskError:
            return "unknown"
        return ENDED.get(word, "unknown")

    def _ended(self, look: verbs.Look) -> Any:
        """The task's value, its error raised, or _PENDING while it has not ended."""
        if look.state == "unknown":
            raise UnknownTask(
                f"no task {self.id} is known: it never was, or the time for which its result is kept is over",
                id=self.id,
            )
        if look.state == "dead":
            raise TaskFailed(
                id=self.id, type="Dead", message="the task is dead; its result's time is over (see `distq dlq`)"
            )
        if look.result is not None:
            return self._unwrap(look.result)
        if self._keeps_nothing(look.message):
            raise ResultNotKept(f"task {self.id} keeps no result (result_ttl=0): ask for its status()", id=self.id)
        return _PENDING

    def _keeps_nothing(self, raw: bytes | None) -> bool:
        """Whether a task that has not ended yet will keep no result."""
        try:
            message = parse(cast("bytes", raw))
        except (TypeError, ValueError):
            return False
        if message.result_ttl_s != NEVER_SAID:
            return message.result_ttl_s == 0
        task = self._app.tasks.get(untyped(message.type)[0])
        return task is not None and task.result_ttl_s() == 0

    def _read(self, element: bytes) -> tuple[str, list[Any]]:
        """How it ended, and what belongs to that. Raises TaskError for what no release of distq has written."""
        try:
            word, *rest = self._app.codec.unpack(element)
        except (ValueError, TypeError) as error:
            text = f"what the broker keeps of the end of task {self.id} cannot be read: {error}"
            raise TaskError(text, id=self.id) from error
        return str(word), rest

    def _unwrap(self, element: bytes) -> Any:
        word, rest = self._read(element)
        if word == "completed":
            if not rest:
                raise ResultNotKept(f"task {self.id} is completed, but keeps no result (result_ttl=0)", id=self.id)
            return rest[0]
        details = rest[0] if rest and isinstance(rest[0], dict) else {}
        if word == "cancelled":
            by = str(details.get("by", ""))
            how = "was" if by.startswith("replaced by ") else "was cancelled by"
            cancelled = TaskCancelled(f"task {self.id} {how} {by or 'somebody'}", id=self.id)
            cancelled.by = by
            raise cancelled
        if word == "expired":
            raise TaskExpired(f"task {self.id} could not start before it expired", id=self.id)
        raise TaskFailed(
            id=self.id,
            type=str(details.get("type", "Error")),
            message=str(details.get("message", "")),
            traceback=str(details.get("traceback", "")),
        )


def _is_here(look: verbs.Look) -> bool:
    """Whether its queue knows it, and did not see it leave."""
    return look.state != "unknown" and moved_to(look.result) is None


def _mode(running: bool, kill: bool) -> Literal["", "running", "kill"]:
    return "kill" if kill else "running" if running else ""


def _check_place(give_up: float | None) -> None:
    """Handlers that wait for tasks can take all the processes that those tasks would need: then nothing goes on."""
    if give_up is None and CURRENT.get(None) is not None:
        raise DistqError(
            "get() in a handler needs a timeout: it waits for another task with a process that this task may need; "
            "better let that task enqueue what comes after it"
        )


def _seconds_left(give_up: float | None) -> float:
    """Seconds until `give_up`; a long time when there is no limit."""
    return 3600.0 if give_up is None else give_up - time.monotonic()
