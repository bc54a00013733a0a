"""Running messages on an event loop, many at a time: what `distq.worker.execute` does, but for the call itself.

A handler that is `async` is awaited. What blocks never runs on the loop: middleware around attempts, which are plain
functions, and handlers that are, run in a thread, from where an `async` handler inside comes back to the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic_ns
from typing import Any, Protocol, cast

from distq.app import Distq
from distq.context import CURRENT, Context, Meter
from distq.outcome import is_a
from distq.task import Task
from distq.worker.awaiting import LEFT_S
from distq.worker.board import MAX_ENTRY_BYTES
from distq.worker.desk import Seat
from distq.worker.execute import Kind, Outcome
from distq.worker.hand import Item, Unit
from distq.worker.units import Ended, Units

logger = logging.getLogger("distq.worker")


class Seats(Protocol):
    """The worker, as far as an attempt knows it."""

    def take(self, seat: int, now_ns: int) -> Item | None:
        """What runs in this seat from now on; None: nothing does."""

    def give(self, seat: int, start_ns: int, ended: Ended) -> None:
        """What has begun there then has ended."""

    def fail(self, error: BaseException) -> None:
        """The process cannot go on."""


class Attempts(Units):
    """Runs messages of one application on one event loop, up to `most` at a time."""

    def __init__(
        self,
        app: Distq,
        worker: Callable[[], str],
        meter: Callable[[str], Meter] | None,
        loop: asyncio.AbstractEventLoop,
        most: int,
        names: Sequence[str],
        seats: Seats,
    ) -> None:
        super().__init__(app, worker, meter)
        self._loop = loop
        self._names, self._seats = names, seats
        self._threads = ThreadPoolExecutor(most, "distq")
        """They are started when they are needed."""
        self._started: dict[Context, set[asyncio.Task[Any]]] = {}
        """By attempt: tasks of the loop that its handler has started, and that have not ended."""
        self._interrupted: dict[asyncio.Task[Any], BaseException] = {}
        """What an attempt ends with that was cancelled from here, by its task of the loop."""
        loop.set_task_factory(cast("Any", self._task))

    async def attempt(self, seat: int, desk: Seat | None = None) -> None:
        """One attempt of what waits at this moment. It ends when all that the handler has started has ended.

        This is the hot path of a loop: one coroutine, in which the handler's is awaited.
        """
        try:
            start_ns = monotonic_ns()
            item = self._seats.take(seat, start_ns)
            if item is None:
                return
            entry, raw, fence, queue, _ = item
            if item.__class__ is Unit:
                self._seats.give(seat, start_ns, await self._attempt_unit(self._names[queue], item, start_ns, desk))
                return
            if len(entry) > MAX_ENTRY_BYTES:
                self._seats.give(seat, start_ns, self.run_checked("", entry, raw, fence, start_ns))
                return
            kind, context, call, ended = self._begin(self._names[queue], entry, raw, fence, start_ns, desk)
            if ended is None:
                try:
                    if kind.handler is None:
                        value = await self._in_a_thread(kind.around, context)
                    else:
                        args, kwargs, _ = call
                        value = await (kind.handler(*args, **kwargs) if kwargs else kind.handler(*args))
                    if self._started:
                        await self._end_started(context)
                except BaseException as raised:
                    ended = await self._failed_with(raised, kind, context, start_ns, desk)
                else:
                    ended = self._returned(kind, context, entry, raw, value, start_ns, desk)
            self._seats.give(seat, start_ns, ended)
        except BaseException as error:  # ours: the seat would never be free again
            self._seats.fail(error)

    async def _failed_with(
        self, raised: BaseException, kind: Kind, context: Context, start_ns: int, desk: Seat | None
    ) -> Outcome:
        error = self._as_meant(raised)
        await self._end_started(context)
        if desk is not None and desk.memory is not None:
            with suppress(asyncio.CancelledError):  # once is enough
                await desk.afinish(context)
        return self._raised(kind, context, error, start_ns, desk)

    async def _attempt_unit(self, queue: str, unit: Unit, start_ns: int, desk: Seat | None) -> Ended:
        """`run_unit`, likewise."""
        call = self._begin_unit(queue, unit, start_ns, desk)
        if not call.members:
            return call.type, call.verdicts, start_ns
        context = call.context
        CURRENT.set(context)
        handler = None if self._has_around else self._direct(context.task)
        try:
            if handler is None:
                value = await self._in_a_thread(self._around, context)
            else:
                value = await handler(*context.args)
            if self._started:
                await self._end_started(context)
        except BaseException as raised:
            error = self._as_meant(raised)
            await self._end_started(context)
            return self._unit_raised(call, error, start_ns, desk)
        return self._unit_returned(call, value, start_ns, desk)

    def interrupt(self, task: asyncio.Task[Any], error: BaseException) -> None:
        """Cancels an attempt. It ends with this error, unless its handler makes something else of the cancellation."""
        self._interrupted[task] = error
        task.add_done_callback(lambda task: self._interrupted.pop(task, None))
        task.cancel()

    def _as_meant(self, error: BaseException) -> BaseException:
        task = asyncio.current_task()
        meant = self._interrupted.pop(task, None) if task is not None else None
        if meant is None or not is_a(error, asyncio.CancelledError):
            return error
        return meant.with_traceback(error.__traceback__)

    def close(self) -> None:
        """Nothing runs any more."""
        self._threads.shutdown(wait=False)

    # -- what blocks -------------------------------------------------------------------------------------------------

    def _direct(self, task: Task[Any, Any, Any]) -> Callable[..., Any] | None:
        return task.function if task.is_async else None

    async def _in_a_thread(self, around: Callable[[Context], Any], context: Context) -> Any:
        """Calls what is around the handler. A cancellation reaches the handler inside of it."""
        ended = self._loop.run_in_executor(self._threads, copy_context().run, _outcome, around, context)
        try:
            value, error = await asyncio.shield(ended)
        except asyncio.CancelledError:
            for task in self._started.get(context, ()):
                if getattr(task.get_coro(), "cr_code", None) is _aoutcome.__code__:  # not what that has started
                    task.cancel()
            value, error = await ended
        if error is not None:
            raise error
        return value

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Called in a thread: the loop awaits it."""
        try:
            value, error = asyncio.run_coroutine_threadsafe(_aoutcome(coroutine), self._loop).result()
        except CancelledError as error:  # before it began
            raise asyncio.CancelledError from error
        if error is not None:
            raise error
        return value

    # -- what a handler starts ---------------------------------------------------------------------------------------

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        """Makes a task of the loop, and notes whose it is: it may not outlive the attempt that has started it."""
        task = asyncio.Task(coroutine, loop=loop, **options)
        context = CURRENT.get()
        if context is not None:
            self._started.setdefault(context, set()).add(task)
            task.add_done_callback(partial(self._ended, context))
        return task

    def starter_of(self, task: asyncio.Task[Any] | None) -> str:
        """Whose handler has started this, for people. Another thread asks while the loop stands still."""
        for context, tasks in list(self._started.items()):
            if task in tasks:
                return f"what {context.type} {context.id} has started"
        return "a coroutine that is no handler's"

    def _ended(self, context: Context, task: asyncio.Task[Any]) -> None:
        tasks = self._started.get(context)
        if tasks is not None:
            tasks.discard(task)
            if not tasks:
                del self._started[context]

    async def _end_started(self, context: Context) -> None:
        """Cancels what an attempt has left on the loop, and waits for it."""
        give_up = self._loop.time() + LEFT_S
        while left := self._started.get(context):
            tasks = list(left)
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):  # once is enough
                await asyncio.wait(tasks, timeout=max(0.0, give_up - self._loop.time()))
                await asyncio.sleep(0)  # they are taken note of
            if self._loop.time() >= give_up:
                self._abandon(context)

    def _abandon(self, context: Context) -> None:
        left = self._started.pop(context, set())
        if left:
            logger.warning("%s %s has left %d coroutines that do not end", context.type, context.id, len(left))


async def end_all(tasks: Collection[asyncio.Task[Any] | None]) -> None:
    """Cancels them, and waits a moment for their end."""
    left = [task for task in tasks if task is not None]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=LEFT_S)


def _outcome(call: Callable[[Context], Any], context: Context) -> tuple[Any, BaseException | None]:
    """What a call does, as a value: not every exception can go through a future."""
    try:
        return call(context), None
    except BaseException as error:
        return None, error


async def _aoutcome(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    try:
        return await coroutine, None
    except BaseException as error:
        return None, error
