"""Running a batch: one call of a handler with the items of many tasks, and a verdict on each of them.

What stands together in an answer of the broker, of one type and key, is a unit. A task of it that cannot be read, or is
not for this worker, has its verdict before the call and is no item of it. Hooks behind an attempt (the retry policy,
the log, the metrics) are asked for each task by itself; what is around an attempt is around the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from distq.app import Distq
from distq.batch import BatchFailed, item_of
from distq.context import CURRENT, BatchContext, Context
from distq.message import parse, type_of
from distq.outcome import Reject, Retry, is_a
from distq.upgrade import upgrade
from distq.worker.board import MAX_ENTRY_BYTES
from distq.worker.desk import Seat
from distq.worker.execute import Executor, Kind, Outcome
from distq.worker.hand import Done, Item, Unit

Ended = tuple[str, Done, int]
"""(type, verdict or verdicts, end by the monotonic clock)."""

Run = Callable[[str, bytes, bytes, int, int], Ended]
"""As `Executor.run`."""


def sizes(app: Distq) -> dict[str, int]:
    """How many items a batch has at most, by type as it travels, of those that this process takes."""
    return {
        type: task.declaration.flow.batch.size
        for task in app.tasks.values()
        if task.declaration.flow is not None and task.declaration.flow.batch is not None
        if task.type not in app.declined
        for type in task.declaration.versions
    }


def grouped(items: Iterable[Item], most: Mapping[str, int]) -> Iterable[Item]:
    """With those put together that run together."""
    return _grouped(items, most) if most else items


def _grouped(items: Iterable[Item], most: Mapping[str, int]) -> Iterator[Item]:
    unit: list[Item] = []
    place: object = None
    for item in items:
        raw = item[1] or b""
        size = most.get(type_of(raw), 0) if len(item[0]) <= MAX_ENTRY_BYTES else 0
        its = _place(raw) if size else None
        if unit and (its != place or len(unit) >= size):
            yield Unit.of(unit)
            unit = []
        place = its
        if size:
            unit.append(item)
        else:
            yield item
    if unit:
        yield Unit.of(unit)


def _place(raw: bytes) -> object:
    """Its type and key. What cannot be read stands alone."""
    try:
        message = parse(raw)
        said = msgpack.unpackb(message.flow, raw=True) if message.flow else {}
        return message.type, said.get(b"l", said.get(b"k", b""))
    except Exception:
        return object()


class Member(NamedTuple):
    """A task of a unit that is an item of the call."""

    place: int
    kind: Kind
    context: Context
    item: Item


@dataclass(slots=True)
class Call:
    """One call for many."""

    type: str
    verdicts: list[bytes]
    """By their place in the unit; empty: not yet."""
    members: list[Member] = field(default_factory=list)

    @property
    def context(self) -> BatchContext:
        """What the handler runs in."""
        items = [member.context for member in self.members]
        return BatchContext(items, [item_of(one.args, one.kwargs) for one in items])


class Units(Executor):
    """Runs single messages and units."""

    def ways(self, batches: Mapping[str, int]) -> tuple[Run, Run]:
        """How messages run, and how if there may be one among them that was never enqueued by us. Where there are no
        batches nobody asks for them."""
        return (self.run_any, self.run_any) if batches else (self.run, self.run_checked)

    def run_any(self, queue: str, entry: bytes, raw: bytes, fence: int, start_ns: int) -> Ended:
        """`run` of what this seat was given, be it one message or a unit."""
        item = None if self._desk is None else self._desk.item
        if type(item) is Unit:
            return self.run_unit(queue, item, start_ns)
        return self.run_checked(queue, entry, raw, fence, start_ns)

    def run_unit(self, queue: str, unit: Unit, start_ns: int) -> Ended:
        """One attempt of all of them."""
        call = self._begin_unit(queue, unit, start_ns, self._desk)
        if not call.members:
            return call.type, call.verdicts, start_ns
        context = call.context
        CURRENT.set(context)
        try:
            value = self._around(context) if self._has_around else self._call(context)
        except BaseException as error:
            return self._unit_raised(call, error, start_ns, self._desk)
        return self._unit_returned(call, value, start_ns, self._desk)

    def _begin_unit(self, queue: str, unit: Unit, start_ns: int, desk: Seat | None) -> Call:
        """Who takes part, and what becomes of those that do not."""
        call = Call(type_of(unit[1] or b""), [b""] * len(unit.items))
        for index, item in enumerate(unit.items):
            kind, context, _, refused = self._begin(queue, item[0], item[1], item[2], start_ns, None)
            if refused is None:
                refused = self._upgraded(kind, context, start_ns)
            if refused is None:
                call.members.append(Member(index, kind, context, item))
            else:
                call.verdicts[index] = refused[1]
        if call.members and desk is not None:
            self._limit_unit(call, len(unit.items), start_ns, desk)
        return call

    def _upgraded(self, kind: Kind, context: Context, start_ns: int) -> Outcome | None:
        """Its arguments become those of now; if they cannot, what becomes of it."""
        task, version = self._known[kind.type]
        if version == task.declaration.version:
            return None
        try:
            steps = task.declaration.upgrades
            context.replace_arguments(*upgrade(task.type, steps, version, context.args, context.kwargs))
        except BaseException as error:
            return self._raised(kind, context, error, start_ns, None)
        return None

    def _limit_unit(self, call: Call, number: int, start_ns: int, desk: Seat) -> None:
        """The shortest limits among them hold for all. One alone has a note of what becomes of it at its hard limit;
        several run again, each alone, and then the one that is at fault has it."""
        first = call.members[0]
        if number == 1:
            self._limit_it(first.kind, first.context, start_ns, desk)
            return
        limits = [member.context.task.limits_of(member.context.headers) for member in call.members]
        soft, hard = (min((one for one in each if one is not None), default=None) for each in zip(*limits, strict=True))
        if soft is not None or hard is not None:
            desk.limit(start_ns, soft, hard, b"")

    def _unit_returned(self, call: Call, value: Any, start_ns: int, desk: Seat | None) -> Ended:
        """The handler has come to its end: with nothing, or with a result or an error for each item."""
        number = len(call.members)
        if value is None:
            return self._settle_unit(call, [None] * number, start_ns, desk)
        if issubclass(type(value), list | tuple) and len(value) == number:
            return self._settle_unit(call, list(value), start_ns, desk)
        what = f"{len(value)} results" if issubclass(type(value), list | tuple) else f"a {type(value).__name__}"
        error = Reject(f"the handler of a batch of {number} has returned {what}: return None, or a list of {number}")
        return self._settle_unit(call, [error] * number, start_ns, desk)

    def _unit_raised(self, call: Call, error: BaseException, start_ns: int, desk: Seat | None) -> Ended:
        """It has failed for some items, or for all."""
        number = len(call.members)
        if not is_a(error, BatchFailed):
            return self._settle_unit(call, [error] * number, start_ns, desk)
        beyond = [index for index in error.failed if index >= number]
        if beyond:
            wrong = Reject(f"BatchFailed names item {beyond[0]} of a batch of {number}: the first one is 0")
            return self._settle_unit(call, [wrong] * number, start_ns, desk)
        return self._settle_unit(call, [error.failed.get(index) for index in range(number)], start_ns, desk)

    def _settle_unit(self, call: Call, ends: list[Any], start_ns: int, desk: Seat | None) -> Ended:
        """Each task has the verdict that it would have if it had ended with this alone."""
        end_ns = start_ns
        for (place, kind, context, item), end in zip(call.members, ends, strict=True):
            if is_a(end, BaseException):
                _, done, end_ns = self._raised(kind, context, _own(end), start_ns, desk)
            else:
                _, done, end_ns = self._returned(kind, context, item[0], item[1], end, start_ns, desk)
            call.verdicts[place] = done
        return call.type, call.verdicts, end_ns


def _own(error: BaseException) -> BaseException:
    """The retry policy writes the delay into a `Retry`, by the attempts of the task: each has one of its own."""
    if not is_a(error, Retry):
        return error
    own = Retry(error.reason, delay=error.delay_s)
    own.__cause__ = error.__cause__
    return own.with_traceback(error.__traceback__)
