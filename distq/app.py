"""The application: its name, its broker, its declared tasks and queues, its middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

from distq import message
from distq.broker.address import mask, resolve_url
from distq.broker.broker import Broker
from distq.codec import Codec
from distq.durations import Duration, seconds
from distq.errors import ConfigurationError, DuplicateTask
from distq.flow import Key
from distq.lifecycle import AsyncResource, Hook, Lifecycle, Resource
from distq.middleware import Link, check
from distq.middleware.logging import LogAttempts
from distq.middleware.metrics import Metrics
from distq.middleware.retry import RetryPolicy
from distq.names import check_names
from distq.options import (
    BUILT_IN,
    CallOptions,
    QueueDeclaration,
    QueueDefaults,
    QueueOptions,
    TaskOptions,
    call,
    declaration,
    defaults,
    queue_defaults,
)
from distq.result import Handle
from distq.sender import Sender
from distq.sensitive import check_sensitive
from distq.task import BatchDecorator, BatchOptions, BatchTask, Task, TaskDecorator

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from distq.broker.aio import AsyncBroker
    from distq.budget import Budget
    from distq.controls import LiveLimits, Pause
    from distq.periodic import ScheduleOptions
    from distq.schedules import PeriodicDecorator, Schedules
    from distq.server.site import ServerConfig
    from distq.why import Why

    Message = MutableMapping[str, Any]
    ASGIApplication = Callable[
        [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
    ]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_MIDDLEWARE: tuple[Link, ...] = (LogAttempts(), Metrics(), RetryPolicy())
"""Outermost first. What an application appends runs inside of these, nearest to the handler."""

MAX_PAYLOAD = 1 << 20
MAX_TIMEOUT_S = 60
"""For so long after its end a task is recognized when its call is sent again."""
_MISSING: Any = object()


class Distq:
    """An application.

    `name` separates applications on one broker. `broker` is redis://, rediss://, unix:// or sentinel://; the default is
    $DISTQ_BROKER, $REDIS_URL, $REDIS_ADDR (host:port), localhost. `timeout` bounds every call of a producer (seconds).
    `middleware` replaces nothing: it is appended to the default list (`app.middleware` may be edited). `max_payload` is
    the largest message in bytes. `sensitive`: names of arguments whose values are shown nowhere; those of `password`
    and its like are not in any case. `retries`, `result_ttl`, `history`, `priority` … are defaults for all tasks.
    """

    def __init__(
        self,
        name: str,
        broker: str | None = None,
        *,
        timeout: Duration = 5.0,
        middleware: Sequence[Link] = (),
        max_payload: int = MAX_PAYLOAD,
        sensitive: Sequence[str] = (),
        **options: Unpack[QueueOptions],
    ) -> None:
        self.name = message.check_place(name, "the application's name")
        self.url = resolve_url(broker)
        self.timeout = seconds(timeout, "timeout")
        if not 0 < self.timeout <= MAX_TIMEOUT_S:
            raise ConfigurationError(f"timeout={timeout!r:.80}: give a time above 0, and at most {MAX_TIMEOUT_S} s")
        if isinstance(max_payload, bool) or not isinstance(max_payload, int) or max_payload < 1024:
            raise ConfigurationError(f"max_payload={max_payload!r:.80}: give a number of bytes, at least 1024")
        self.max_payload = max_payload
        check_names(
            options,
            [*QueueOptions.__annotations__, "broker", "timeout", "middleware", "max_payload", "sensitive"],
            "Distq()",
        )
        self.said = defaults(options)
        self.defaults = self.said.over(BUILT_IN)
        self.queues: dict[str, QueueDefaults] = {"default": QueueDefaults()}
        self.partitions: dict[str, int] = {}
        """How many, of queues that were declared with `queue`."""
        self.tasks: dict[str, Task[Any, Any, Any]] = {}
        self.budgets: dict[str, Budget] = {}
        self.middleware: list[Link] = [*DEFAULT_MIDDLEWARE, *middleware]
        for link in middleware:
            check(link)
        self.declined: frozenset[str] = frozenset()
        """Types that this process leaves to workers elsewhere."""
        self.sensitive = check_sensitive(sensitive)
        self.codec = Codec()
        self.lifecycle = Lifecycle()

    # -- declaring ---------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(self, function: None = None, /, **options: Unpack[BatchOptions]) -> BatchDecorator: ...
    @overload
    def task(self, function: None = None, /, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declares a task: `@app.task` or `@app.task(type=…, priority=…, rate=…, …)`; see `TaskOptions`.

        Raises ConfigurationError (or UnknownOption, DuplicateTask) at once for anything that is wrong.
        """

        def declare(function: Callable[..., Any]) -> Task[Any, Any, Any]:
            if not callable(function) or isinstance(function, type):
                raise ConfigurationError(f"@app.task is for functions, not for {function!r:.80}")
            return self._declare(function, options)

        return declare if function is None else declare(function)

    def periodic(self, when: str, /, **options: Unpack[ScheduleOptions]) -> PeriodicDecorator:
        """Declares when a task is called by itself: `@app.periodic("@every 1m")` above `@app.task`, or alone on a
        function. `when`: `@every 90s`, `@daily`, or `*/5 * * * *` in the zone `tz` (UTC).

        `name` (default: the type), `args` and `kwargs` of the call, `jitter` (each starts up to so much later),
        `overlap` (while the call before is not done: "queue" one more, "skip", "replace" it), `missed` (no host was
        there: "once" in place of all, "skip", "all"). Raises ConfigurationError at once for anything that is wrong.
        """

        from distq.periodic import check_options  # noqa: PLC0415 (for those who have schedules)

        check_options(when, options)

        def declare(function: Any) -> Any:
            task = function if isinstance(function, Task) else self.task(function)
            self.schedules.declare(task, when, options)
            return task

        return declare

    def queue(self, name: str, *, partitions: int = 1, **options: Unpack[QueueDeclaration]) -> str:
        """Declares a queue with defaults for the tasks in it, and returns its name.

        Workers serve all declared queues unless told otherwise. `partitions` (1 to 64): calls are spread over so many
        queues, which a Cluster can hold on different nodes; but not those with an `id`, or of a type with a rate.
        `max_pending`: so many tasks may wait or be scheduled in it; `on_full`: "reject" (a call raises QueueFull),
        "block" (it waits for room, at most `block_timeout`), "drop_oldest". Each partition has its share of them.
        `weights={"high": 8, "default": 3, "low": 1}`: while all three wait, so many of twelve are of each; else strict.
        """
        check_names(options, [*QueueDeclaration.__annotations__, "partitions"], "app.queue")
        count = message.check_partitions(partitions)
        self.queues[message.check_place(name, "queue")] = queue_defaults(options, count)
        self.partitions[name] = count
        return name

    def budget(self, name: str, *amounts: str, per: Key | None = None, queue: str = "default") -> Budget:
        """Declares a limit that types share, with each other and with `with budget.acquire():` outside of tasks.

        `amounts`: `"500/m"`, and with a unit `"200_000 tokens/m burst 5000"`. `per`: each key, of a parameter or what a
        function makes of the arguments, has a budget of its own. All that share it are in one queue.
        """
        from distq.budget import declare  # noqa: PLC0415 (for those who have budgets)

        return declare(self, name, amounts, per, queue)

    def _declare(self, function: Callable[..., Any], options: dict[str, Any]) -> Task[Any, Any, Any]:
        name = getattr(function, "__name__", "task")
        if name == "<lambda>" and "type" not in options:
            raise ConfigurationError("a lambda has no name that could be its type: give type=")
        declared = declaration(name, options)
        other = self.tasks.get(declared.type)
        if other is not None:
            raise DuplicateTask(
                f"type {declared.type!r} is declared twice: by {other.__module__}.{other.__qualname__} and by "
                f"{function.__module__}.{function.__qualname__}; give one of them another type="
            )
        self.queues.setdefault(declared.queue, QueueDefaults())
        is_batch = declared.flow is not None and declared.flow.batch is not None
        task: Task[Any, Any, Any] = (BatchTask if is_batch else Task)(self, function, declared)
        for known in (function, *declared.upgrades.values()):
            self.codec.register_annotations(known)
        self.tasks[declared.type] = task
        return task

    # -- processes ---------------------------------------------------------------------------------------------------

    def on_worker_start(self, function: Hook, /) -> Hook:
        """Declares a function that each worker process calls before its first task. If it raises, the process is not
        used, and another one is tried after a pause."""
        return self.lifecycle.add_hook(self.lifecycle.starts, function, "on_worker_start")

    def on_worker_stop(self, function: Hook, /) -> Hook:
        """Declares a function that each worker process calls when it ends in order. The last declared comes first."""
        return self.lifecycle.add_hook(self.lifecycle.stops, function, "on_worker_stop")

    @overload
    def resource(self, function: Callable[[], AsyncIterator[T]], /) -> AsyncResource[T]: ...
    @overload
    def resource(self, function: Callable[[], AbstractAsyncContextManager[T]], /) -> AsyncResource[T]: ...
    @overload
    def resource(self, function: Callable[[], Iterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[[], AbstractContextManager[T]], /) -> Resource[T]: ...
    def resource(self, function: Callable[[], Any], /) -> Any:
        """Declares what each process opens once, when it is first called for, and closes at its end: a generator
        function that yields it, or what gives a context manager. An `async` one is awaited, and opened once for each
        event loop."""
        return self.lifecycle.add_resource(function)

    # -- calling -----------------------------------------------------------------------------------------------------

    def enqueue(self, type: str, payload: Any = _MISSING, **options: Unpack[CallOptions]) -> Handle[Any]:
        """Enqueues by type name, also from a program that does not have the handler's code.

        A mapping as `payload` becomes keyword arguments, anything else the one positional argument. The type `mail@2`
        says that these are arguments of version 2.
        """
        args, kwargs = self._arguments(payload)
        return self._sender(type, cast("dict[str, Any]", options)).delay(*args, **kwargs)

    async def aenqueue(self, type: str, payload: Any = _MISSING, **options: Unpack[CallOptions]) -> Handle[Any]:
        """`enqueue` for asyncio."""
        args, kwargs = self._arguments(payload)
        return await self._sender(type, cast("dict[str, Any]", options)).adelay(*args, **kwargs)

    def result(self, id: str) -> Handle[Any]:
        """The handle of the task with this id, from anywhere."""
        named = message.queue_of(message.check_id(id))
        return Handle(self, id, named if named is not None and message.family(named) in self.queues else None)

    def queues_of(self, id: str) -> list[str]:
        """Where a task of this id may live: the queue in a generated id, then all known ones. Given ids are in no
        partition but the first."""
        return self._queues_of(id, self.broker.known_queues())

    async def aqueues_of(self, id: str) -> list[str]:
        """`queues_of` for asyncio."""
        return self._queues_of(id, await self.async_broker.known_queues())

    def _queues_of(self, id: str, known: list[str]) -> list[str]:
        named = message.queue_of(id)
        if named is None:
            return list(dict.fromkeys([*self.queues, *map(message.family, known)]))
        return [named, *self.queues, *known]

    def _arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if payload is _MISSING:
            return (), {}
        if isinstance(payload, Mapping) and all(isinstance(name, str) for name in payload):
            return (), dict(payload)
        return (payload,), {}

    def _sender(self, type: str, options: dict[str, Any]) -> Sender[Any, Any]:
        name, version = message.untyped(type)
        task = self.tasks.get(name)
        if task is not None and type in (name, message.typed(name, task.declaration.version)):
            return task.options(**cast("CallOptions", options))
        declared = replace(declaration(name, {}), version=version)
        # Not self.defaults: what nobody said here, the worker's declaration says.
        resolved = call(declared, self.queues, self.said, options)
        if resolved.unique is not None:
            raise ConfigurationError(
                f"unique={options['unique']!r:.80}: type {name} is not declared here, so nobody knows its parameters"
            )
        # It has only one partition: who does not have the declaration does not know whether calls may be spread.
        return Sender(self, name, resolved, lambda args, kwargs: None)

    def limits_of(self, queue: str) -> dict[str, tuple[str, bytes]]:
        """For each type of a queue, in each version, its rate and its flow as the broker keeps them; empty for none."""
        return {
            type: (
                task.declaration.rate.declared if task.declaration.rate else "",
                task.declaration.flow.policy() if task.declaration.flow else b"",
            )
            for task in self.tasks.values()
            if task.declaration.queue == queue
            for type in task.declaration.versions
        }

    def weights_of(self, queue: str) -> str:
        """How the priorities of a queue share it, as the broker keeps it; "" for one that is not declared."""
        return self.queues[queue].weights if queue in self.queues else ""

    # -- while everything runs ---------------------------------------------------------------------------------------

    def pause(
        self,
        *,
        queue: str | None = None,
        type: str | None = None,
        key: str | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Hands out nothing more of a queue, a type, or a key of a type, until it is resumed; what runs goes on. With
        `queue` and `type`: of that type in that queue. `by`, `reason`: who and why, for others. False: it was
        paused already."""
        from distq import controls  # noqa: PLC0415 (for those who pause)

        return controls.pause(self, queue, type, key, by, reason)

    def resume(self, *, queue: str | None = None, type: str | None = None, key: str | None = None) -> bool:
        """Ends a pause. False: there was none."""
        from distq import controls  # noqa: PLC0415 (for those who pause)

        return controls.resume(self, queue, type, key)

    def pauses(self) -> list[Pause]:
        """What is paused, by whom and since when."""
        from distq import controls  # noqa: PLC0415 (for those who pause)

        return controls.pauses(self)

    def why(self, id: str) -> Why:
        """Why this task is not running, or what has become of it: each gate that keeps it back, with its numbers."""
        from distq.why import why  # noqa: PLC0415 (for those who ask)

        return why(self, id)

    @cached_property
    def schedules(self) -> Schedules:
        """What ticks: declared by code or created at run time; to be looked at and changed while everything runs."""
        from distq.schedules import Schedules  # noqa: PLC0415 (for those who have them)

        return Schedules(self)

    @cached_property
    def limits(self) -> LiveLimits:
        """Limits of types: as declared, and as they were changed while everything runs."""
        from distq.controls import LiveLimits  # noqa: PLC0415 (for those who change them)

        return LiveLimits(self)

    # -- the broker --------------------------------------------------------------------------------------------------

    @cached_property
    def broker(self) -> Broker:
        """Connections of this process for synchronous callers; opened when first used."""
        return Broker(self.name, self.url, self.timeout)

    @cached_property
    def async_broker(self) -> AsyncBroker:
        """The same for asyncio, one connection per event loop."""
        from distq.broker.aio import AsyncBroker  # noqa: PLC0415 (asyncio is a third of what `import distq` would cost)

        return AsyncBroker(self.name, self.url, self.timeout)

    def asgi(self, config: ServerConfig | None = None) -> ASGIApplication:
        """The HTTP API as an ASGI application, to be mounted in yours: `web.mount("/distq", app.asgi())`.

        API keys are those of $DISTQ_API_KEYS, $DISTQ_API_KEYS_FILE and $API_KEY, or of `config` (a `ServerConfig` of
        `distq.server.site`); without any, only programs on this machine are served. Raises ConfigurationError if the
        extra `server` is not installed.
        """
        try:
            from distq.server.api import asgi  # noqa: PLC0415 (a web framework, for those who have it)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the HTTP API needs {error.name}, which is not installed: pip install 'distq[server]'"
            ) from None
        return asgi(self, config)

    def rebind(self, url: str) -> None:
        """Uses another broker from now on; for doors that get one on the command line."""
        self.url = resolve_url(url)
        self.__dict__.pop("broker", None)
        self.__dict__.pop("async_broker", None)

    def __repr__(self) -> str:
        return f"<Distq {self.name!r} at {mask(self.url)}>"
