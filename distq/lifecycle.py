"""What an application does when a worker process begins and ends, and what it opens once for each.

Nothing that was opened before a fork is used, or closed, behind it: the child opens its own.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import copy_context
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from distq.context import CURRENT
from distq.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Hook = TypeVar("Hook", bound=Callable[[], object])

logger = logging.getLogger("distq.worker")

_UNOPENED: Any = object()
_ALL: WeakSet[Lifecycle] = WeakSet()
_OPENING: WeakKeyDictionary[asyncio.Task[Any], AsyncResource[Any]] = WeakKeyDictionary()
"""Which resource a task opens."""
KEPT: WeakSet[asyncio.Task[Any]] = WeakSet()
"""Tasks of event loops that belong to resources: they outlive the handler that has opened these."""


class Resource(Generic[T]):
    """Something that each process opens once, when it first asks, and closes at its end. Its threads share it."""

    _value: Any
    _lock: AbstractContextManager[Any]

    def __init__(self, lifecycle: Lifecycle, function: Callable[[], Any], manager: Callable[[], Any]) -> None:
        self._lifecycle, self._manager = lifecycle, manager
        self.name = getattr(function, "__qualname__", repr(function))
        self.__doc__ = function.__doc__
        self.forget()

    def __call__(self) -> T:
        """This process's own."""
        if self._value is _UNOPENED:
            with self._lock:
                if self._value is _UNOPENED:
                    manager = self._manager()
                    value = manager.__enter__()
                    self._lifecycle.opened(self.name, lambda: manager.__exit__(None, None, None), self.forget)
                    self._value = value
        return cast("T", self._value)

    def forget(self) -> None:
        """It is closed, or another process's."""
        self._value = _UNOPENED
        self._lock = RLock()


class AsyncResource(Generic[T]):
    """The same for asyncio: each event loop opens its own."""

    def __init__(self, lifecycle: Lifecycle, function: Callable[[], Any], manager: Callable[[], Any]) -> None:
        self._lifecycle, self._manager = lifecycle, manager
        self.name = getattr(function, "__qualname__", repr(function))
        self.__doc__ = function.__doc__
        self.forget()

    async def __call__(self) -> T:
        """This event loop's own."""
        import asyncio  # noqa: PLC0415 (a third of what `import distq` would cost)

        loop = asyncio.get_running_loop()
        if loop in self._values:
            return self._values[loop]
        task = asyncio.current_task()
        outer = None if task is None else _OPENING.get(task)
        if outer is None:
            return await self._open(loop)
        try:
            outer.await_other(self, loop)
            return await self._open(loop)
        finally:
            outer._awaits.pop(loop, None)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> T:
        import asyncio  # noqa: PLC0415

        async with self._locks.setdefault(loop, asyncio.Lock()):
            if loop not in self._values:
                before, manager, context = asyncio.all_tasks(), self._manager(), copy_context()
                context.run(CURRENT.set, None)  # what it starts is nobody's
                opening = asyncio.create_task(manager.__aenter__(), context=context)
                _OPENING[opening] = self
                value = await opening
                KEPT.update(asyncio.all_tasks() - before)
                self._lifecycle.opened_on(loop, self.name, manager, lambda: self._values.pop(loop, None))
                self._values[loop] = value
        return self._values[loop]

    def await_other(self, other: AsyncResource[Any], loop: asyncio.AbstractEventLoop) -> None:
        """The task that opens this is about to wait until the other one is open. Raises ConfigurationError if that
        waits for this: neither would ever be."""
        self._awaits[loop] = other
        names, awaited = [self.name], other
        while awaited is not self:
            names.append(awaited.name)
            following = None if loop in awaited._values else awaited._awaits.get(loop)
            if following is None:
                return
            awaited = following
        raise ConfigurationError(f"resource {' awaits '.join([*names, self.name])}: it can never be opened")

    def forget(self) -> None:
        """They are another process's."""
        self._awaits: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncResource[Any]] = WeakKeyDictionary()
        """What the task that opens it waits for."""
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Lifecycle:
    """The hooks and resources of one application.

    1. at the start of a worker process: the start functions, in their order; one that raises ends the process;
    2. at its end: the stop functions, the last one first, then what was opened is closed, the last one first;
    3. resources of event loops are closed when those end.
    """

    def __init__(self) -> None:
        self.starts: list[Callable[[], object]] = []
        self.stops: list[Callable[[], object]] = []
        self._resources: list[Resource[Any] | AsyncResource[Any]] = []
        self._has_exit = False
        self._forget()
        _ALL.add(self)

    def _forget(self) -> None:
        self._open: list[tuple[str, Callable[[], object], Callable[[], object]]] = []
        self._open_on: WeakKeyDictionary[
            asyncio.AbstractEventLoop, list[tuple[str, AbstractAsyncContextManager[Any], Callable[[], object]]]
        ] = WeakKeyDictionary()

    def forked(self) -> None:
        """In the child of a fork: nothing is open."""
        self._forget()
        for resource in self._resources:
            resource.forget()

    # -- declaring ---------------------------------------------------------------------------------------------------

    def add_hook(self, hooks: list[Callable[[], object]], hook: Hook, name: str) -> Hook:
        """A start or stop function."""
        if not callable(hook) or inspect.iscoroutinefunction(hook):
            what = "an async function" if callable(hook) else repr(hook)[:80]
            raise ConfigurationError(f"@app.{name} is for plain functions, not for {what}: async things are resources")
        hooks.append(hook)
        return hook

    def add_resource(self, function: Callable[[], Any]) -> Resource[Any] | AsyncResource[Any]:
        """From a generator function, or anything that gives a context manager; sync or async."""
        if not callable(function):
            raise ConfigurationError(f"@app.resource is for functions, not for {function!r:.80}")
        resource: Resource[Any] | AsyncResource[Any]
        if inspect.isasyncgenfunction(function):
            manager = asynccontextmanager(cast("Callable[[], AsyncIterator[Any]]", function))
            resource = AsyncResource(self, function, manager)
        elif inspect.isgeneratorfunction(function):
            resource = Resource(self, function, contextmanager(cast("Callable[[], Iterator[Any]]", function)))
        elif inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"{function.__qualname__}: an async resource yields what it has opened, once")
        elif hasattr(inspect.unwrap(function), "__aenter__") or inspect.isasyncgenfunction(inspect.unwrap(function)):
            resource = AsyncResource(self, function, function)
        else:
            resource = Resource(self, function, function)
        self._resources.append(resource)
        return resource

    # -- a process's life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A worker process begins. Raises what a start function raises: the process is not to be used."""
        try:
            for hook in self.starts:
                hook()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """A worker process ends."""
        for hook in reversed(self.stops):
            _safely(f"on_worker_stop {getattr(hook, '__qualname__', hook)}", hook)
        self.close()

    def opened(self, name: str, close: Callable[[], object], forget: Callable[[], object]) -> None:
        """Something is open until the end of this process. Where that is not a worker, the interpreter closes it."""
        self._open.append((name, close, forget))
        if not self._has_exit:
            self._has_exit = True
            atexit.register(self.close)

    def opened_on(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        manager: AbstractAsyncContextManager[Any],
        forget: Callable[[], object],
    ) -> None:
        """Something is open until this loop ends."""
        self._open_on.setdefault(loop, []).append((name, manager, forget))

    def close(self) -> None:
        """Closes what this process has opened."""
        while self._open:
            name, close, forget = self._open.pop()
            forget()
            _safely(f"closing {name}", close)

    @property
    def has_loops(self) -> bool:
        """Whether something is open on an event loop."""
        return bool(self._open_on)

    async def aclose(self) -> None:
        """Closes what was opened on the running loop."""
        import asyncio  # noqa: PLC0415

        opened = self._open_on.pop(asyncio.get_running_loop(), [])
        while opened:
            name, manager, forget = opened.pop()
            forget()
            try:
                await manager.__aexit__(None, None, None)
            except BaseException:  # also sys.exit: the others are closed all the same
                logger.exception("closing %s failed", name)


def _safely(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:  # also sys.exit: what comes behind it is done all the same
        logger.exception("%s failed", what)


def _forked() -> None:
    for lifecycle in _ALL:
        lifecycle.forked()


os.register_at_fork(after_in_child=_forked)
