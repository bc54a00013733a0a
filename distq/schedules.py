"""Schedules of an application: those that its code declares, and those that are made while it runs.

Both are kept in the broker, each in the slot of its task's queue, and fired by worker hosts
(`distq.supervisor.schedules`). Here nothing waits and nothing ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from distq import message
from distq.broker import schedules
from distq.broker.schedules import EDITED, PAUSED, Definition, Fire, Record
from distq.cron import EVERY, UTC, timing, upcoming, zone
from distq.errors import ConfigurationError, UnknownSchedule, did_you_mean
from distq.names import check_names
from distq.periodic import (
    CreateOptions,
    EditOptions,
    Said,
    ScheduleOptions,
    check_arguments,
    check_name,
    check_rhythm,
    define,
    whole,
    without_tick,
)
from distq.result import Handle
from distq.task import Task

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from distq.app import Distq

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

TRIES = 20
"""How often a change is made anew because another one came between."""

Change = tuple[int | None, Sequence[str | bytes | int]]
"""The next tick, and fields and values by turns."""


class PeriodicDecorator(Protocol):
    """What `@app.periodic(...)` gives: above `@app.task(...)`, or alone on a function."""

    @overload
    def __call__(self, task: Task[P, R, C], /) -> Task[P, R, C]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...


@dataclass(frozen=True)
class Schedule:
    """A schedule, as the broker knows it. Times are aware datetimes in its zone, by the broker's clock."""

    name: str
    type: str
    queue: str
    when: str
    tz: str
    """Empty: none; an expression goes by UTC then."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    jitter: float
    """Seconds."""
    overlap: str
    missed: str
    is_declared: bool
    """By code; else it was created at run time."""
    is_edited: bool
    """Changed at run time, so that it is not what the code says until it is reset."""
    is_paused: bool
    is_orphaned: bool
    """No living host's code declares it any more: it does not tick, and is deleted soon."""
    next: tuple[datetime, ...]
    """The next five ticks; none while it is paused."""
    last_id: str
    """The task of its last tick; empty: there was none."""

    @property
    def state(self) -> str:
        """`active`, `paused` or `orphaned`."""
        return "orphaned" if self.is_orphaned else "paused" if self.is_paused else "active"


class PastTick(NamedTuple):
    """A tick that has been."""

    tick: datetime
    at: datetime
    """When it was fired."""
    outcome: str
    """`fired`; `replaced`: and the task before was ended; `skipped`: that still ran; `missed`: nobody was there, and it
    was to be skipped; `triggered`: by hand."""
    id: str
    """Of the task; empty: none."""


class Schedules:
    """`app.schedules`: what the code declares, and the ways to look at and change what is in the broker.

    Its methods raise BrokerUnavailable when the broker does not answer, and UnknownSchedule for a name that is none.
    """

    def __init__(self, app: Distq) -> None:
        self._app = app
        self._declared: dict[str, Said] = {}

    # -- declaring ---------------------------------------------------------------------------------------------------

    def declare(self, task: Task[Any, Any, Any], when: str, options: ScheduleOptions) -> None:
        """What `@app.periodic` does with a task. Raises ConfigurationError for anything that is wrong."""
        name = check_name(options.get("name", task.type))
        if name in self._declared:
            raise ConfigurationError(f"name={name!r}: there is a schedule of this name already; give this one a name=")
        rhythm = check_rhythm(when, cast("dict[str, Any]", options))
        args, kwargs = check_arguments(options.get("args", ()), options.get("kwargs", {}))
        try:
            task.fits(args, kwargs)
        except TypeError as error:
            raise ConfigurationError(
                f"schedule {name!r}: {error}; give args= and kwargs= as the task needs them"
            ) from None
        self._declared[name] = Said(task, rhythm, args, kwargs)

    def declared(self, queues: Iterable[str]) -> dict[str, dict[str, str]]:
        """For worker hosts: queue -> name -> what the code declares, packed."""
        found: dict[str, dict[str, str]] = {}
        names = set(queues)
        for name, one in self._declared.items():
            queue, definition = define(name, one.task.options(), one)
            if queue in names:
                found.setdefault(queue, {})[name] = definition.packed().hex()
        return found

    # -- looking -----------------------------------------------------------------------------------------------------

    def list(self) -> list[Schedule]:
        """All that are in the broker, by name."""
        found = [self._shown(record, now_ms) for now_ms, record in self._records()]
        return sorted(found, key=lambda schedule: (schedule.name, schedule.queue))

    def get(self, name: str) -> Schedule:
        """One of them."""
        now_ms, record = self._find(name)
        return self._shown(record, now_ms)

    def history(self, name: str) -> Sequence[PastTick]:
        """Its last ticks, the newest first, at most 20."""
        _, record = self._find(name)
        where = zone(record.definition.tz or UTC)
        fired = schedules.history(self._app.broker, record.queue, name)
        return [
            PastTick(
                _moment(one.tick_ms, where),
                _moment(one.at_ms, where),
                one.word,
                "" if one.word == "skipped" else one.id,
            )
            for one in fired
        ]

    # -- changing ----------------------------------------------------------------------------------------------------

    def create(
        self, name: str, when: str, task: Task[Any, Any, Any] | str, **options: Unpack[CreateOptions]
    ) -> Schedule:
        """Makes a schedule that outlives this program: `task` is a declared one, or a type. See the guide for options.

        Raises ConfigurationError for what is wrong, and for a name that is taken; TypeError, NotSerializable and
        PayloadTooLarge like `.delay()`.
        """
        check_names(options, CreateOptions.__annotations__, "schedules.create")
        said = cast("dict[str, Any]", options)
        args, kwargs = check_arguments(said.pop("args", ()), said.pop("kwargs", {}))
        placed: dict[str, Any] = {option: said.pop(option) for option in ("queue", "priority") if option in said}
        rhythm = check_rhythm(when, said)
        type = task.type if isinstance(task, Task) else message.check_type(task)
        sender = self._app._sender(type, placed)
        queue, definition = define(check_name(name), sender, Said(None, rhythm, args, kwargs))
        if any(record.name == name for _, record in self._look_up(name)):
            raise _taken(name)
        prefix, turn = self._app.broker.open(queue), schedules.new_turn()
        now_ms = self._app.broker.run(schedules.one(prefix, name))[1]
        first = timing(definition.when, definition.tz).next(now_ms)
        word, _ = self._app.broker.run(
            schedules.define(prefix, name, "new", first, [*definition.items(), "turn", turn])
        )
        if word == "full":
            raise ConfigurationError(f"queue {queue} has too many schedules: delete some")
        if word != "ok":
            raise _taken(name)
        return self.get(name)

    def pause(self, name: str) -> Schedule:
        """It does not tick until `resume`, whatever hosts are started."""
        return self._change(name, lambda record, now_ms: (None, [PAUSED, now_ms]))

    def resume(self, name: str) -> Schedule:
        """It goes on with its next tick; those of the pause are not made up for."""
        return self._change(name, lambda record, now_ms: (_next(record.definition, now_ms), [PAUSED, ""]))

    def edit(self, name: str, **changes: Unpack[EditOptions]) -> Schedule:
        """Changes what is given. One that the code declares stays changed until `reset`, whatever the code says.

        Raises the same errors as `create`.
        """
        check_names(changes, EditOptions.__annotations__, "schedules.edit")
        if not changes:
            raise ConfigurationError("schedules.edit: nothing is to be changed; give when=, tz=, args=, …")

        def change(record: Record, now_ms: int) -> Change:
            edited = self._edited(record, cast("dict[str, Any]", changes))
            mark: list[str | bytes | int] = [EDITED, "1"] if record.is_coded else []
            return _next(edited, now_ms), [*edited.items(), *mark]

        return self._change(name, change)

    def reset(self, name: str) -> Schedule:
        """What the code says holds again; neither changes nor a pause of run time do."""

        def change(record: Record, now_ms: int) -> Change:
            if record.code is None:
                raise ConfigurationError(f"schedule {name!r} is not declared by code: there is nothing to go back to")
            return _next(record.code, now_ms), [*record.code.items(), EDITED, "", PAUSED, ""]

        return self._change(name, change)

    def trigger(self, name: str, *, id: str | None = None) -> Handle[Any]:
        """Enqueues its task now, whatever its next tick is, also while it is paused. `id`: of that task; with one
        that is known already there is no second one."""
        now_ms, record = self._find(name)
        broker, id = self._app.broker, message.new_id(record.queue) if id is None else message.check_id(id)
        by_hand = Fire(name, 0, "", 0, [(id, now_ms, 0)])
        if broker.run(schedules.fire(broker.prefix(record.queue), "", [by_hand])).words != ["fired"]:
            raise self._unknown(name)
        return Handle(self._app, id, record.queue)

    def delete(self, name: str) -> None:
        """Deletes it. Raises ConfigurationError for one that the code of a living host declares."""
        _, record = self._find(name)
        word = self._app.broker.run(schedules.forget(self._app.broker.prefix(record.queue), name))
        if word == "declared":
            raise ConfigurationError(
                f"schedule {name!r} is declared by code, and would come back: pause it, or remove it from the code"
            )
        if word == "unknown":
            raise self._unknown(name)

    def _change(self, name: str, change: Callable[[Record, int], Change]) -> Schedule:
        broker = self._app.broker
        for _ in range(TRIES):
            now_ms, record = self._find(name)
            tick_ms, items = change(record, now_ms)
            prefix = broker.prefix(record.queue)
            word, _ = broker.run(schedules.define(prefix, name, record.edition, tick_ms, items))
            if word == "ok":
                return self.get(name)
        raise ConfigurationError(f"schedule {name!r} is being changed by others all the time; try again")

    def _edited(self, record: Record, changes: dict[str, Any]) -> Definition:
        old = record.definition
        when = changes.get("when", old.when)
        tz = changes.get("tz", "" if when.startswith(EVERY) and "when" in changes else old.tz)
        said = {"jitter": old.jitter / 1000, "overlap": old.overlap, "missed": old.missed, **changes, "tz": tz}
        rhythm = check_rhythm(when, said)
        if not {"args", "kwargs"} & changes.keys():
            return replace(old, **rhythm._asdict())
        old_args, old_kwargs, old_headers = self._call(old)
        args, kwargs = check_arguments(changes.get("args", old_args), changes.get("kwargs", old_kwargs))
        raw = whole(old.message)
        task = self._app.tasks.get(message.untyped(old.type)[0])
        if task is not None:
            sender = task.options(queue=record.queue, priority=cast("Any", message.parse(raw).priority))
            return define(record.name, sender, Said(task, rhythm, args, kwargs))[1]
        if message.parse(raw).version == message.FLOWING:
            raise ConfigurationError(
                f"schedule {record.name!r}: type {old.type} has limits by its arguments, so they are changed where its "
                "code is at hand (--app)"
            )
        headers = {**old_headers, "schedule": record.name}
        headers.pop("tick", None)
        body = self._app.codec.pack_call(args, kwargs, {**headers, "tick": 0.0})
        return replace(old, **rhythm._asdict(), message=without_tick(message.sent_head(raw) + body))

    # -- finding -----------------------------------------------------------------------------------------------------

    def _queues(self) -> Sequence[str]:
        """The first partition of each queue."""
        return [*dict.fromkeys([*self._app.queues, *map(message.family, self._app.broker.known_queues())])]

    def _records(self) -> Iterator[tuple[int, Record]]:
        for queue in self._queues():
            yield from schedules.every(self._app.broker, queue)

    def _look_up(self, name: str) -> Iterator[tuple[int, Record]]:
        broker = self._app.broker
        for queue in self._queues():
            _, now_ms, records = broker.run(schedules.one(broker.prefix(queue), name))
            for record in records:
                yield now_ms, record

    def _find(self, name: str) -> tuple[int, Record]:
        found = next(self._look_up(check_name(name)), None)
        if found is None:
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> UnknownSchedule:
        known = [record.name for _, record in self._records()]
        shown = ", ".join(sorted(known)[:10]) + (" …" if known[10:] else "") if known else "none yet"
        hint = " (the code declares it: it is there when a worker host has started)" if name in self._declared else ""
        return UnknownSchedule(f"no schedule {name!r:.80}{hint or did_you_mean(name, known)}; there are: {shown}")

    def _call(self, definition: Definition) -> tuple[Sequence[Any], dict[str, Any], dict[str, Any]]:
        return self._app.codec.unpack_call(message.parse(whole(definition.message)).body)

    def _shown(self, record: Record, now_ms: int) -> Schedule:
        of = record.definition
        try:
            args, kwargs, _ = self._call(of)
        except Exception:  # of a class that this program does not know, or not of ours
            args, kwargs = [], {}
        rests = record.is_paused or record.is_orphaned
        return Schedule(
            record.name, of.type, record.queue, of.when, of.tz, tuple(args), kwargs,
            of.jitter / 1000, of.overlap, of.missed,
            record.is_coded, record.is_edited, record.is_paused, record.is_orphaned,
            () if rests else _upcoming(record), record.last,
        )  # fmt: skip


def _next(definition: Definition, now_ms: int) -> int:
    return timing(definition.when, definition.tz).next(now_ms)


def _upcoming(record: Record) -> tuple[datetime, ...]:
    of = record.definition
    try:
        where = zone(of.tz or UTC)
        return tuple(_moment(ms, where) for ms in [record.next_ms, *upcoming(of.when, of.tz, record.next_ms, 4)])
    except (ConfigurationError, ValueError, OSError, OverflowError, KeyError):  # a zone that is not known here
        return ()


def _moment(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, zone)


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(f"name={name!r}: there is a schedule of this name already; edit or delete that one")
