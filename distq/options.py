"""Options of declarations and calls: what exists, what it means, and the checks at the earliest moment.

A call's options win over the declaration's, those over the queue's defaults, those over the application's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, TypedDict

from distq import message
from distq.amounts import HasTerms, check_queue
from distq.backoff import Backoff, resolve
from distq.bounds import Bound, BoundOptions, applying, bound
from distq.clock import eta_ms
from distq.durations import Duration, positive_ms, seconds, ttl_s
from distq.errors import ConfigurationError, UnknownQueue, did_you_mean
from distq.flow import Arguments, Flow, flow
from distq.kept import History, Kept, kept
from distq.names import check_names
from distq.rate import Rate
from distq.sensitive import check_sensitive
from distq.time_limits import LIMITS, time_limits
from distq.unique import Unique, UniqueOptions, said_of, unique
from distq.upgrade import Upgrade, check_upgrades, check_version
from distq.weights import STRICT, weights

Priority = Literal["high", "default", "low", 2, 1, 0]

ExceptionClass = type[BaseException]
RetryRules = Mapping[ExceptionClass, "int | RetryRule"]

MAX_RETRIES = 1000
MAX_SLOTS = 10_000


Told = Callable[[tuple[Any, ...], Mapping[str, Any]], "bytes | None"]


class TaskOptions(UniqueOptions, BoundOptions, total=False):
    """Options of `@app.task(...)`."""

    type: str
    priority: Priority
    rate: str | Sequence[str]
    per: str | Callable[[Arguments], Any]
    max_running: int | str | Sequence[int | str]
    fair: str | Callable[[Arguments], Any] | bool
    weights: Mapping[str, float] | Callable[[str], float]
    ordered: str | Callable[[Arguments], Any] | bool
    limits: Sequence[HasTerms]
    queue: str
    retries: int
    backoff: str | float | Callable[[int], float]
    retry_rules: RetryRules
    result_ttl: Duration
    history: History
    expires: Duration
    max_deliveries: int
    needs: str
    slots: int
    version: int
    upgrade: Mapping[int, Upgrade]
    durable: bool
    soft_time_limit: Duration
    time_limit: Duration
    sensitive: Sequence[str]


class QueueOptions(TypedDict, total=False):
    """Defaults of `app.queue(name, ...)` for the tasks in it that say nothing themselves."""

    priority: Priority
    retries: int
    backoff: str | float | Callable[[int], float]
    result_ttl: Duration
    history: History
    expires: Duration
    durable: bool
    soft_time_limit: Duration
    time_limit: Duration


class QueueDeclaration(QueueOptions, BoundOptions, total=False):
    """All options of `app.queue(name, ...)`."""

    weights: Mapping[str, int]


class CallOptions(UniqueOptions, total=False):
    """Options of one call: `task.options(...)`."""

    delay: Duration
    eta: datetime
    priority: Priority
    queue: str
    id: str
    once: bool
    expires: Duration | datetime
    retries: int
    result_ttl: Duration
    headers: Mapping[str, Any]
    durable: bool
    soft_time_limit: Duration
    time_limit: Duration


@dataclass(frozen=True)
class RetryRule:
    """How often, and after which delays, attempts that end with a kind of error are repeated.

    `backoff`: "exponential" (2^n · 100 ms, the default), "linear", "constant", seconds, or a callable
    attempt -> seconds.
    """

    retries: int = 3
    backoff: Callable[[int], float] | str | float = "exponential"

    def __post_init__(self) -> None:
        check_retries(self.retries)
        resolve(self.backoff)

    def resolved(self) -> Backoff:
        """The backoff as a function."""
        return resolve(self.backoff)


@dataclass(frozen=True)
class Defaults:
    """What holds where nobody said otherwise: an application's or a queue's defaults (None: not said)."""

    priority: int | None = None
    retries: int | None = None
    backoff: Backoff | None = None
    result_ttl_s: int | None = None
    expires_ms: int | None = None
    durable: bool | None = None
    soft_time_limit_s: float | None = None
    time_limit_s: float | None = None
    history: Kept | None = None

    def over(self, other: Defaults) -> Defaults:
        """These, and where they say nothing, `other`."""
        return Defaults(
            *(mine if mine is not None else theirs for mine, theirs in zip(self._all(), other._all(), strict=True))
        )

    def _all(self) -> tuple[Any, ...]:
        return tuple(getattr(self, one.name) for one in fields(Defaults))


@dataclass(frozen=True)
class QueueDefaults(Defaults):
    """What `app.queue(...)` said: defaults for the tasks in it, and what holds for itself."""

    bound: Bound | None = None
    weights: str = STRICT
    """Of its priorities, as the scripts keep them."""


BUILT_IN = Defaults(1, 3, resolve("exponential"), 600, None, False)


@dataclass(frozen=True)
class Declaration:
    """What `@app.task(...)` said, checked."""

    type: str
    queue: str
    said: Defaults
    rules: Mapping[ExceptionClass, RetryRule] = field(default_factory=dict)
    rate: Rate | None = None
    """Of the whole type."""
    flow: Flow | None = None
    unique: Unique | None = None
    unique_said: Mapping[str, Any] = field(default_factory=dict)
    """The options that `unique` was made of: those of a call win over them."""
    max_deliveries: int = 0
    """0: as the worker host says."""
    needs: str = ""
    """What its host must have; "": nothing."""
    slots: int = 0
    """So many of it one process runs at a time; 0: any number."""
    version: int = 1
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    bound: Bound | None = None
    sensitive: frozenset[str] = frozenset()
    """Names whose values are shown nowhere."""

    @property
    def versions(self) -> dict[str, int]:
        """The types under which calls travel that its handler understands, each with the version of its arguments."""
        return {message.typed(self.type, version): version for version in (*self.upgrades, self.version)}


@dataclass(frozen=True)
class Call:
    """The options of one call, resolved. `options` is what the enqueue script gets; None as a TTL: not known here."""

    type: str
    """As it travels: with the version of its arguments."""
    queue: str
    priority: int
    result_ttl_s: int | None
    id: str | None
    options: Mapping[str, Any]
    headers: Mapping[str, Any]
    max_deliveries: int = 0
    durable: bool = False
    flow: Told | None = None
    """What its message says of its flow and its name, by the arguments."""
    unique: Unique | None = None
    bounds: tuple[Bound, ...] = ()

    def fresh_options(self) -> Mapping[str, Any]:
        """The script's options for one more call: a given id comes with a token, so that a resend is recognized."""
        return {**self.options, "token": os.urandom(8).hex()} if self.id is not None else self.options


_SAID_BY_CALLS = ("priority", "retries", "result_ttl", "durable", "soft_time_limit", "time_limit")


def check_retries(value: object) -> int:
    """A number of retries, if it can be one."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise ConfigurationError(f"retries={value!r:.80}: give a whole number from 0 to {MAX_RETRIES}")
    return value


def check_slots(value: object) -> int:
    """How many of a type a process runs at a time, if it can be that."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SLOTS:
        raise ConfigurationError(
            f"slots={value!r:.80}: give a whole number from 1 to {MAX_SLOTS:,}, "
            "or leave it out for as many as a process has threads or coroutines"
        )
    return value


def defaults(options: Mapping[str, Any]) -> Defaults:
    """The options that queues, tasks and applications have in common."""
    return Defaults(
        priority=message.priority_number(options["priority"]) if "priority" in options else None,
        retries=check_retries(options["retries"]) if "retries" in options else None,
        backoff=resolve(options["backoff"]) if "backoff" in options else None,
        result_ttl_s=ttl_s(options["result_ttl"]) if "result_ttl" in options else None,
        expires_ms=positive_ms(options["expires"], "expires") if "expires" in options else None,
        durable=_yes_or_no(options["durable"], "durable") if "durable" in options else None,
        history=kept(options["history"]) if "history" in options else None,
        **time_limits(options),
    )


def queue_defaults(options: Mapping[str, Any], partitions: int) -> QueueDefaults:
    """What `app.queue` was told."""
    said, bounded = defaults(options), bound(options, "app.queue")
    shares = weights(options["weights"]) if "weights" in options else STRICT
    return QueueDefaults(**vars(said), bound=bounded and bounded.spread(partitions), weights=shares)


def _yes_or_no(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what}={value!r:.80}: give True or False")
    return value


def declaration(name: str, options: Mapping[str, Any]) -> Declaration:
    """The checked form of `@app.task(**options)` on a function called `name`."""
    check_names(options, [*TaskOptions.__annotations__, "batch"], "@app.task")
    rate, flows = flow(options)
    bounded = bound(options, "@app.task")
    if bounded is not None:
        flows = replace(flows or Flow(), is_counted=True)
    version = check_version(options.get("version", 1))
    type = message.check_type(options.get("type", name))
    queue = message.check_place(options.get("queue", "default"), "queue")
    check_queue(flows.uses if flows else (), type, queue)
    return Declaration(
        type=type,
        queue=queue,
        said=defaults(options),
        rules=_rules(options.get("retry_rules", {})),
        rate=rate,
        flow=flows,
        unique=unique(options),
        unique_said=said_of(options),
        max_deliveries=message.check_max_deliveries(options["max_deliveries"]) if "max_deliveries" in options else 0,
        needs=message.check_place(options["needs"], "needs") if "needs" in options else "",
        slots=check_slots(options["slots"]) if "slots" in options else 0,
        version=version,
        upgrades=check_upgrades(version, options.get("upgrade", {})),
        bound=bounded,
        sensitive=check_sensitive(options.get("sensitive", ())),
    )


def _rules(rules: object) -> dict[ExceptionClass, RetryRule]:
    if not isinstance(rules, Mapping):
        raise ConfigurationError(f"retry_rules={rules!r:.80}: give a mapping, such as {{TimeoutError: 10}}")
    return {cls: _rule(cls, rule) for cls, rule in rules.items()}


def _rule(cls: object, rule: object) -> RetryRule:
    if not isinstance(cls, type) or not issubclass(cls, BaseException):
        raise ConfigurationError(f"retry_rules: {cls!r:.80} is no exception class")
    if isinstance(rule, RetryRule):
        return rule
    return RetryRule(check_retries(rule))


def call(declared: Declaration, queues: Mapping[str, QueueDefaults], app: Defaults, options: Mapping[str, Any]) -> Call:
    """The options of one call, checked and resolved."""
    check_names(options, CallOptions.__annotations__, "options()")
    queue = options.get("queue", declared.queue)
    if not isinstance(queue, str) or queue not in queues:
        raise UnknownQueue(
            f"queue={queue!r:.80} is not declared{did_you_mean(str(queue), queues)}; there are: "
            f"{', '.join(queues)}; declare it with app.queue({queue!r:.80})"
        )
    if (declared.rate or declared.flow or declared.unique) and queue != declared.queue:
        what = "has a limit" if declared.rate or declared.flow else "is unique"
        raise ConfigurationError(
            f"queue={queue!r}: type {declared.type} {what}, which holds for its own queue {declared.queue!r} "
            "only; declare the task with queue= instead"
        )
    if declared.flow and declared.flow.is_ordered and "priority" in options:
        raise ConfigurationError(
            f"priority={options['priority']!r:.80}: tasks of type {declared.type} run in order, and share one priority"
        )
    said = defaults({name: value for name, value in options.items() if name in _SAID_BY_CALLS})
    known = said.over(declared.said).over(queues[queue]).over(app)
    headers = _headers(options.get("headers", {}))
    travelling = {"retries": said.retries, **{name: getattr(said, f"{name}_s") for name in LIMITS}}
    headers |= {name: value for name, value in travelling.items() if value is not None}
    names = unique(options, declared.unique_said)
    if names is not None and names.debounce_ms:
        for name in ("delay", "eta"):
            if name in options:
                raise ConfigurationError(
                    f"{name}={options[name]!r:.80}: type {declared.type} is debounced, and that decides when it runs"
                )
    return Call(
        type=message.typed(declared.type, declared.version),
        queue=queue,
        priority=1 if known.priority is None else known.priority,
        result_ttl_s=known.result_ttl_s,
        id=None if options.get("id") is None else message.check_id(options["id"]),
        options=_script_options(options, known, declared) | (names.told() if names else {}),
        headers=headers,
        max_deliveries=declared.max_deliveries,
        durable=bool(known.durable),
        unique=names,
        bounds=applying(declared.bound, message.typed(declared.type, declared.version), queues[queue].bound),
    )


def _headers(headers: object) -> dict[str, Any]:
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigurationError(f"headers={headers!r:.80}: give a mapping with text keys")
    return dict(headers)


def _script_options(options: Mapping[str, Any], known: Defaults, declared: Declaration) -> dict[str, Any]:
    """delay | due, expires_in | expires, limit and flow, as the enqueue script takes them."""
    if "delay" in options and "eta" in options:
        raise ConfigurationError("delay= and eta= say the same thing twice: give one of them")
    told: dict[str, Any] = {}
    if _yes_or_no(options.get("once", False), "once"):
        if options.get("id") is None:
            raise ConfigurationError("once=True needs id=: by what else would the call be known again?")
        told["once"] = True
    if "delay" in options:
        told["delay"] = round(seconds(options["delay"], "delay") * 1000)
    if "eta" in options:
        told["due"] = eta_ms(options["eta"], "eta")
    expires = options.get("expires")
    if isinstance(expires, datetime):
        told["expires"] = eta_ms(expires, "expires")
    elif expires is not None:
        told["expires_in"] = positive_ms(expires, "expires")
    elif known.expires_ms is not None:
        told["expires_in"] = known.expires_ms
    return told | limits_told(declared)


def limits_told(declared: Declaration) -> dict[str, Any]:
    """What the scripts are told with each call of a type whose tasks do not simply run."""
    told: dict[str, Any] = {}
    if declared.rate is not None:
        told["limit"] = declared.rate.declared
    if declared.flow is not None:
        told["flow"] = declared.flow.policy()
    return told
