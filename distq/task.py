"""A declared task: the user's function, its options, and the ways to call it through the broker.

The function stays an ordinary callable. Arguments are bound to its signature when `.delay()` is called, so a wrong one
fails in the caller's stack.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Protocol,
    Required,
    TypeGuard,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import msgpack

from distq.batch import Batch, check_takes_a_list, fits, item_of
from distq.errors import ConfigurationError
from distq.kept import Kept
from distq.options import CallOptions, Declaration, Defaults, RetryRule, TaskOptions, Told, call
from distq.result import Handle
from distq.sender import Sender
from distq.sensitive import told
from distq.spreading import sender
from distq.time_limits import MAX_LIMIT_S
from distq.unique import Unique

if TYPE_CHECKING:
    from distq.app import Distq

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")


class Task(Generic[P, R, C]):
    """A declared task with parameters P and result R. Calling it gives C: R, or a coroutine of R for `async def`."""

    def __init__(self, app: Distq, function: Callable[P, C], declaration: Declaration) -> None:
        self.app = app
        self.function = function
        self.declaration = declaration
        self.type = declaration.type
        self.signature = self._signature_of(function)
        if declaration.unique is not None:
            declaration.unique.check_parameters(self.signature.parameters, f"task {self.type}")
        self.is_async = inspect.iscoroutinefunction(function)
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", declaration.type)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self.__module__ = getattr(function, "__module__", None) or ""
        self.__doc__ = function.__doc__
        self._bind = self._binder()
        self._plain: Sender[P, R] | None = None

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> C:
        """Runs the function here and now."""
        return self.function(*args, **kwargs)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueues a call; when this returns, the broker has it. One round trip.

        Raises TypeError for arguments that do not fit the function, NotSerializable or PayloadTooLarge for ones that
        cannot travel, BrokerUnavailable when the broker does not answer within the application's `timeout`.
        """
        return (self._plain or self._make_plain()).send(args, kwargs)

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """`delay` for asyncio. Calls made in the same turn of the event loop share one round trip."""
        return await (self._plain or self._make_plain()).adelay(*args, **kwargs)

    def delay_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Handle[R]]:
        """Enqueues many calls, each a tuple of positional or a mapping of keyword arguments.

        One round trip for every 1,000 of them, or every MiB. When it raises, those of earlier round trips are enqueued.
        """
        return (self._plain or self._make_plain()).delay_many(calls)

    async def adelay_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Handle[R]]:
        """`delay_many` for asyncio. Other tasks of the loop go on between its round trips."""
        return await (self._plain or self._make_plain()).adelay_many(calls)

    def options(self, **options: Unpack[CallOptions]) -> Sender[P, R]:
        """The same task with options for the calls made through what this returns.

        `delay` (seconds, timedelta, "5m") or `eta` (aware datetime): when it becomes ready. `expires` (like `delay`, or
        an aware datetime): it does not start later. `priority`, `queue`, `retries`, `result_ttl`: instead of the
        declared ones. `id`: a second call with the id of a live task returns that task; with `once` also with that of
        one that has ended, as long as its result, or the dead letter, is there. `headers`: small data for
        `current().headers`. `durable`: returns when all replicas, or the disk, have it, else raises NotDurable.
        `soft_time_limit`, `time_limit`: of each attempt, instead of the declared ones.
        """
        return self._sender(cast("dict[str, Any]", options))

    def fits(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises TypeError for arguments that do not fit the function."""
        self._bind(args, kwargs)

    @property
    def sensitive(self) -> frozenset[str]:
        """Names of arguments whose values are shown nowhere, besides those of its application."""
        return self.declaration.sensitive

    def names_of(self, number: int) -> list[str]:
        """The names of the parameters that so many positional arguments go to."""
        kinds = inspect.Parameter
        places = [
            p.name
            for p in self.signature.parameters.values()
            if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        ]
        rest = next((p.name for p in self.signature.parameters.values() if p.kind is kinds.VAR_POSITIONAL), "")
        return [*places[:number], *[rest] * (number - len(places))]

    def _most_positional(self) -> int:
        kinds = inspect.Parameter
        return sum(
            p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) for p in self.signature.parameters.values()
        )

    def rule_for(self, error: BaseException, headers: Mapping[str, Any]) -> RetryRule:
        """The retry rule for this error: the nearest class in `retry_rules`, else the task's own budget."""
        for cls in type(error).__mro__:
            if cls in self.declaration.rules:
                return self.declaration.rules[cls]
        own = self._defaults()
        return RetryRule(self.retries_of(headers), cast("Callable[[int], float]", own.backoff))

    def retries_of(self, headers: Mapping[str, Any]) -> int:
        """How many retries a call has, by its own options or by the declaration."""
        said = headers.get("retries")
        return said if isinstance(said, int) else cast("int", self._defaults().retries)

    def limits_of(self, headers: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """How long an attempt of a call may take (seconds), soft and hard, by its own options or by the declaration."""
        own = self._defaults()
        soft, hard = headers.get("soft_time_limit"), headers.get("time_limit")
        return (
            soft if _is_time(soft) else own.soft_time_limit_s,
            hard if _is_time(hard) else own.time_limit_s,
        )

    def result_ttl_s(self) -> int:
        """For calls whose producer did not know the declaration."""
        return cast("int", self._defaults().result_ttl_s)

    @property
    def history(self) -> Kept | None:
        """Which completed tasks of it are kept to be looked at. None: it is among the last of its queue."""
        found = self._defaults().history
        return found if found is not None and found.most else None

    def flow_of(self, unique: Unique | None) -> Told | None:
        """What makes of arguments what a message says of its flow and its name. None: it says nothing."""
        flow, pack = self.declaration.flow, self.app.codec.pack
        if flow is None and unique is None:
            return None

        def told(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes | None:
            keyed, named = self._said_by(args, kwargs)
            said: dict[str, Any] = {} if flow is None else {"k": "", **flow.of(keyed)}
            if unique is not None:
                said |= unique.of(named, pack)
            return msgpack.packb(said, use_bin_type=False) if said else None

        return told

    def _said_by(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        """What gives a call its key, and its name."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments, bound.arguments

    def _signature_of(self, function: Callable[..., Any]) -> inspect.Signature:
        """Of a call."""
        signature = _signature(function)
        if self.declaration.flow is not None:
            self.declaration.flow.check_parameters(signature.parameters, f"task {self.type}")
        return signature

    def _binder(self) -> Callable[[tuple[Any, ...], Mapping[str, Any]], None]:
        return binder(self.signature, self.__name__)

    def _defaults(self) -> Defaults:
        queue = self.app.queues.get(self.declaration.queue, Defaults())
        return self.declaration.said.over(queue).over(self.app.defaults)

    def _make_plain(self) -> Sender[P, R]:
        self._plain = self._sender({})
        return self._plain

    def _sender(self, options: Mapping[str, Any]) -> Sender[P, R]:
        resolved = call(self.declaration, self.app.queues, self.app.defaults, options)
        if resolved.unique is not None:
            resolved.unique.check_parameters(self.signature.parameters, f"task {self.type}")
        hidden = told(self.sensitive, self.app.sensitive, self.names_of(self._most_positional()))
        headers = {**hidden, **resolved.headers}
        resolved = replace(resolved, flow=self.flow_of(resolved.unique), headers=headers)
        return sender(self.app, self.type, resolved, self._bind)

    def __repr__(self) -> str:
        return f"<Task {self.type}>"


class BatchTask(Task[[T], Any, C]):
    """A task whose handler is given the items of many calls (`batch=`): `.delay(item)`; it is called with a list."""

    def __call__(self, items: Sequence[T]) -> C:  # type: ignore[override]
        """Runs the function here and now, with these items."""
        return self.function(items)  # type: ignore[arg-type]

    def _said_by(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
        item = item_of(args, kwargs)
        return item, {"item": item}

    def _signature_of(self, function: Callable[..., Any]) -> inspect.Signature:
        check_takes_a_list(_signature(function), f"task {self.type}")
        return inspect.Signature([inspect.Parameter("item", inspect.Parameter.POSITIONAL_ONLY)])

    def _binder(self) -> Callable[[tuple[Any, ...], Mapping[str, Any]], None]:
        return partial(fits, self.__name__)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{function.__qualname__} is a generator: calling it runs nothing; return a list instead"
        )
    if _is_method(function):
        raise ConfigurationError(
            f"{function.__qualname__} is a method, and nobody would give it its object: declare a function that makes "
            "the object and calls it"
        )
    try:
        return inspect.signature(function)
    except ValueError:
        raise ConfigurationError(
            f"{function!r:.80} does not tell its parameters; call it in a function of yours"
        ) from None


def _is_time(said: Any) -> TypeGuard[float]:
    """Whether this, from the wire, can be a limit."""
    return isinstance(said, int | float) and 0 < said <= MAX_LIMIT_S


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether it stands in a class and waits for `self` or `cls`."""
    if not inspect.isfunction(function):
        return False
    holder = function.__qualname__.rpartition(".")[0]
    first = next(iter(inspect.signature(function).parameters), "")
    return holder != "" and not holder.endswith("<locals>") and first in ("self", "cls")


def binder(signature: inspect.Signature, name: str) -> Callable[[tuple[Any, ...], Mapping[str, Any]], None]:
    """A check whether arguments fit, quick where they do; where not, the error is Python's own.

    `Signature.bind` alone costs more than the rest of `.delay()`.
    """
    kinds = inspect.Parameter
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    plain = all(p.kind is kinds.POSITIONAL_OR_KEYWORD for p in parameters)
    names = [p.name for p in positional]
    most = len(positional)
    least = sum(p.default is kinds.empty for p in positional)
    required = frozenset(names[:least])
    known = frozenset(names)

    def bind(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if plain:
            given = len(args)
            if not kwargs:
                if least <= given <= most:
                    return
            elif (
                given <= most
                and kwargs.keys() <= known
                and kwargs.keys().isdisjoint(names[:given])
                and required <= {*names[:given], *kwargs}
            ):
                return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None

    return bind


class TaskDecorator(Protocol):
    """What `@app.task(...)` gives: keeps the signature, knows `async def`."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...


class BatchOptions(TaskOptions, total=False):
    """Options of `@app.task(batch=…, …)`."""

    batch: Required[Batch]


class BatchDecorator(Protocol):
    """What `@app.task(batch=…)` gives: the handler takes a list, `delay` one item."""

    @overload
    def __call__(
        self, function: Callable[[list[T]], Coroutine[Any, Any, R]], /
    ) -> BatchTask[T, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[[list[T]], R], /) -> BatchTask[T, R]: ...
