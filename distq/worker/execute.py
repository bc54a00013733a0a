"""Running one message: from its bytes to a verdict in wire form. It talks to nobody.

    find the handler -> unpack the arguments -> call it inside its middleware -> pack the result -> verdict

Whatever user code does ends in a verdict: an error, SystemExit, an exception whose `__str__` raises, a result that
cannot travel.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic_ns, time
from typing import TYPE_CHECKING, Any, NoReturn

import msgpack

from distq.app import Distq
from distq.broker.verdicts import SECONDS, again, completion, verdict, verdict_kind, verdict_like
from distq.codec import SHALLOW, Call, DecodeError, is_too_deep
from distq.context import CORRELATION, CURRENT, PARENT, Context, Meter, id_in
from distq.durations import format_duration
from distq.errors import NotSerializable, PayloadTooLarge, did_you_mean
from distq.message import (
    HAS_MEMORY,
    HAS_RECORDS,
    NEVER_SAID,
    PLAIN,
    VERSION,
    Message,
    body_at,
    own_max_deliveries,
    parse,
    sent_head,
    untyped,
)  # fmt: skip
from distq.middleware import final_error, foreseen, onion
from distq.outcome import Cancelled, Reject, TimeLimit, Verdict, decide, is_a, record
from distq.task import Task
from distq.upgrade import upgrade
from distq.worker.awaiting import alone, run_through
from distq.worker.board import MAX_ENTRY_BYTES
from distq.worker.desk import Seat
from distq.worker.forks import FORKS, end_of_a_forked_child
from distq.worker.interrupt import Door
from distq.worker.parking import snoozed

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("distq.worker")

PATIENCE_MS = 86_400_000
"""How long a task waits for a worker that knows its type, or its envelope's version."""

_COMPLETED = b"\x94\xa9completed"  # msgpack: ["completed", value, finished at ms, enqueued at ms]
_WITH_ORIGIN = b"\x95"  # one more: where it comes from
_COMPLETED_EMPTY = b"\x91\xa9completed"
_TIMES = struct.Struct(">BdB8s")
_FLOAT = 0xCB

MAX_KINDS = 1000


def with_origin(blob: bytes, headers: Mapping[str, Any]) -> bytes:
    """The result, with what a task's message has said of where it comes from: that is gone by now."""
    origin = {name: said for name in (CORRELATION, PARENT) if (said := id_in(headers, name)) is not None}
    return _WITH_ORIGIN + blob[1:] + msgpack.packb(origin, unicode_errors="replace") if origin else blob


@dataclass(slots=True)
class Kind:
    """What messages with the same head have in common: it is worked out for the first of them. (No tuple of any kind
    is read as quickly.)"""

    task: Task[Any, Any, Any] | None
    """None: it is not for this worker, or not yet, and `completes` says what becomes of it."""
    type: str
    attempt: int
    body_at: int
    """0: where each message says."""
    completes: bytes
    """The verdict, as `verdict_like` takes it."""
    keeps_result: bool
    handler: Callable[..., Any] | None
    """To be called with the arguments; None: `around` is called with the context."""
    around: Callable[[Context], Any]
    meter: Meter | None
    is_limited: bool = False
    """Whether its declaration bounds the time of an attempt."""
    is_listed: bool = False


Outcome = tuple[str, bytes, int]
"""(type, verdict in wire form, end by the monotonic clock) of one attempt."""


_NOTHING: Any = (None, None, None)


class Executor:
    """Runs messages of one application in one thread, one at a time."""

    def __init__(
        self,
        app: Distq,
        worker: Callable[[], str],
        meter: Callable[[str], Meter] | None,
        desk: Seat | None = None,
        door: Door | None = None,
    ) -> None:
        self._desk, self._door = desk, door
        self._app, self._worker, self._meter = app, worker, meter
        self._tasks = app.tasks
        self._known = {
            type: (task, version)
            for task in app.tasks.values()
            if task.type not in app.declined
            for type, version in task.declaration.versions.items()
        }
        self._read = app.codec.call_reader()
        self._pack = app.codec.packers.pack  # this thread's
        links = onion(app.middleware, self._call)
        self._around, self._has_around = links.around or self._call, links.around is not None
        self._starts, self._succeeded, self._failed = links.started, links.succeeded, links.failed
        self._limit = app.max_payload
        self._kinds: dict[bytes, Kind] = {}
        self._unknown: set[str] = set()
        self._runner: asyncio.Runner | None = None

    def run(self, queue: str, entry: bytes, raw: bytes, fence: int, start_ns: int) -> Outcome:
        """(type, verdict, end) of one attempt that begins at `start_ns`; both times by the monotonic clock.

        This is the hot path of a worker: 2 µs without the handler, half of them in C.
        """
        kind, context, call, refused = self._begin(queue, entry, raw, fence, start_ns, self._desk)
        if refused is not None:
            return refused
        handler = kind.handler
        try:
            if handler is None:
                value = kind.around(context)
            else:
                args, kwargs, _ = call
                value = handler(*args, **kwargs) if kwargs else handler(*args)
        except BaseException as error:
            return self._raised(kind, context, error, start_ns, self._desk)
        return self._returned(kind, context, entry, raw, value, start_ns, self._desk)

    def _begin(
        self, queue: str, entry: bytes, raw: bytes, fence: int, start_ns: int, desk: Seat | None
    ) -> tuple[Kind, Context, Call, Outcome | None]:
        """What is to be called, or what becomes of it without a call."""
        try:
            kind = self._kinds.get(raw[16 : 27 + raw[26]]) or self._meet(raw)  # message.sent_head, without the call
        except (ValueError, IndexError) as error:
            return *_NOTHING, self._unreadable(entry, "it", error)
        task = kind.task
        if task is None:
            return *_NOTHING, (kind.type, verdict_like(kind.completes, entry, b""), start_ns)
        try:
            call = self._read(raw[kind.body_at or body_at(raw) :])
        except DecodeError as error:
            return *_NOTHING, self._unreadable(entry, "its arguments", error, kind)
        context = Context(entry, raw, call, queue, fence, task, kind.meter)
        CURRENT.set(context)
        if (kind.is_limited or call[2]) and desk is not None:
            self._limit_it(kind, context, start_ns, desk)
        try:
            for hook in self._starts:
                hook(context)
        except BaseException as error:
            return *_NOTHING, self._raised(kind, context, error, start_ns, desk)
        return kind, context, call, None

    def _limit_it(self, kind: Kind, context: Context, start_ns: int, desk: Seat) -> None:
        """Notes its limits, if it has some. The supervisor cannot ask its retry policy, so that is asked now."""
        soft_s, hard_s = context.task.limits_of(context.headers)
        if hard_s is not None:
            error = foreseen(self._app.middleware, context, TimeLimit(f"time limit of {format_duration(hard_s)}"))
            decided = decide(error)
            ends = (decided.word, decided.delay_ms, kind.type, context.type, kind.attempt, hard_s)
            note = msgpack.packb((*ends, context.correlation_id))
        elif soft_s is None:
            return
        else:
            note = b""
        desk.limit(start_ns, soft_s, hard_s, note)

    def _returned(
        self, kind: Kind, context: Context, entry: bytes, raw: bytes, value: Any, start_ns: int, desk: Seat | None
    ) -> Outcome:
        """The handler has come to its end."""
        try:
            if FORKS.is_child:
                end_of_a_forked_child()
            if kind.keeps_result:
                try:
                    packed = self._pack(value)
                except Exception:
                    self._refuse(value, None)
                if len(packed) > SHALLOW:
                    self._look_at_large(value, packed)
                blob = _COMPLETED + packed + _TIMES.pack(_FLOAT, time() * 1000, _FLOAT, raw[:8])
                if CORRELATION in context.headers:
                    blob = with_origin(blob, context.headers)
            else:
                blob = _COMPLETED_EMPTY
            end_ns = monotonic_ns()
            seconds = (end_ns - start_ns) / 1e9
            for hook in self._succeeded:
                hook(context, seconds)
            completes = kind.completes
            if kind.is_listed:
                blob = SECONDS.pack(seconds) + blob
            if desk is not None and desk.used_by is context:
                completes = again(completes)
                desk.complete()
            return kind.type, verdict_like(completes, entry, blob), end_ns
        except BaseException as error:
            return self._raised(kind, context, error, start_ns, desk)

    def _raised(self, kind: Kind, context: Context, error: BaseException, start_ns: int, desk: Seat | None) -> Outcome:
        """The handler has raised, or its result cannot be stored."""
        if FORKS.is_child:
            end_of_a_forked_child()
        end_ns = monotonic_ns()
        seconds = (end_ns - start_ns) / 1e9
        if is_a(error, Cancelled) and not (desk is not None and desk.is_cancelled(start_ns)):
            error = Reject("it has raised Cancelled, but nobody has cancelled it")
        decided = decide(final_error(self._failed, context, error, seconds))
        if desk is not None:
            desk.finish(context)
        if decided.limited is not None:
            return kind.type, snoozed(context, kind.type, decided), end_ns
        log = desk.log if desk is not None else ""
        hide = context.without_secrets
        return kind.type, self._after_error(context.entry, kind.type, kind.attempt, decided, seconds, log, hide), end_ns

    def run_checked(self, queue: str, entry: bytes, raw: bytes, fence: int, start_ns: int) -> Outcome:
        """`run`, for a batch in which there is an entry that was never enqueued by us."""
        if len(entry) > MAX_ENTRY_BYTES:
            return self._unreadable(entry, "its id", ValueError(f"it has {len(entry)} bytes"))
        return self.run(queue, entry, raw, fence, start_ns)

    def named(self, entry: bytes, raw: bytes) -> str:
        """A message, for people."""
        return f"{self._kinds[sent_head(raw)].type} {entry.decode('utf-8', 'replace')}"

    def rest(self) -> None:
        """Nothing runs: `current()` ends, and what the last attempt was called with may be freed."""
        CURRENT.set(None)
        if self._desk is not None:
            self._desk.forget()

    def _look_at_large(self, value: Any, packed: bytes) -> None:
        """What a result of more than SHALLOW bytes can be refused for."""
        if len(packed) > self._limit:
            self._pack = self._app.codec.packers.renew()
            self._refuse(value, len(packed))
        if is_too_deep(packed):
            self._refuse(value, None)

    def _refuse(self, value: Any, size: int | None) -> NoReturn:
        """A result that cannot be stored is final: another attempt would end the same way. `size`: None if it cannot be
        packed."""
        try:
            if size is None:
                size = len(self._app.codec.pack(value))  # says what is wrong
            raise PayloadTooLarge(
                f"{size} bytes are above the limit of {self._limit}: store it elsewhere and return its "
                "address, or declare result_ttl=0"
            )
        except (NotSerializable, PayloadTooLarge) as error:
            raise Reject(f"the handler's result cannot be stored: {error}") from error

    def _unreadable(self, entry: bytes, what: str, error: Exception, kind: Kind | None = None) -> Outcome:
        """A message that is none, or whose arguments are none: dead at once."""
        logger.error(
            "%s %.200r: %s cannot be read, and it is dead: %s", kind.type if kind else "task", entry, what, error
        )
        type, attempt = (kind.type, kind.attempt) if kind else ("(corrupt)", 1)
        return type, self._after_error(entry, type, attempt, Verdict("bury", 0, error), 0.0), monotonic_ns()

    def _say_unknown(self, type: str) -> None:
        if type not in self._unknown and untyped(type)[0] not in self._app.declined and len(self._unknown) < MAX_KINDS:
            self._unknown.add(type)
            task = self._tasks.get(untyped(type)[0])
            hint = (
                f" ({task.type} is, in version {task.declaration.version})" if task else did_you_mean(type, self._tasks)
            )
            logger.warning("no task of type %r is declared here%s: it waits for a worker that has it", type, hint)

    def _meet(self, raw: bytes) -> Kind:
        """The first message with this head. Raises ValueError when it is none."""
        message = parse(raw)
        task, version = self._known.get(message.type, (None, 1)) if message.version <= VERSION else (None, 1)
        if task is None:
            self._say_unknown(message.type)
            return self._set_aside(raw, message, b"park", PATIENCE_MS)
        most = task.declaration.max_deliveries
        if most and not own_max_deliveries(message.flags):  # who recovers it must know, and its caller did not
            return self._set_aside(raw, message, b"release", most)
        ttl_s = message.result_ttl_s
        if ttl_s == NEVER_SAID:
            ttl_s = task.result_ttl_s()
        has_records = message.attempt or message.deliveries or message.flags & (HAS_RECORDS | HAS_MEMORY)
        completes = completion(message.type.encode(), ttl_s, bool(has_records), task.history)
        is_old = version != task.declaration.version
        body = len(raw) - len(message.body) if message.version == PLAIN else 0
        return self._note(raw, Kind(
            task, message.type, message.attempt + 1, body, completes, ttl_s > 0,
            None if self._has_around or is_old else self._direct(task),
            self._upgrading(task, version) if is_old else self._around,
            None if self._meter is None else self._meter(task.type),
            task.limits_of({}) != (None, None), task.history is not None,
        ))  # fmt: skip

    def _set_aside(self, raw: bytes, message: Message, word: bytes, number: int) -> Kind:
        """A kind that is given back with this verdict."""
        becomes = verdict_kind(word, message.type.encode(), number)
        return self._note(
            raw, Kind(None, message.type, message.attempt + 1, 0, becomes, False, None, self._around, None)
        )

    def _note(self, raw: bytes, kind: Kind) -> Kind:
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[sent_head(raw)] = kind
        return kind

    def _upgrading(self, task: Task[Any, Any, Any], version: int) -> Callable[[Context], Any]:
        """What is around the handler, for calls of an older version: it sees their arguments as those of now."""
        steps = task.declaration.upgrades

        def upgraded(context: Context) -> Any:
            context.replace_arguments(*upgrade(task.type, steps, version, context.args, context.kwargs))
            return self._around(context)

        return upgraded

    def _direct(self, task: Task[Any, Any, Any]) -> Callable[..., Any] | None:
        """What is called with the arguments when nothing is around it; None: as if something was."""
        return self._handler(task)

    def _handler(self, task: Task[Any, Any, Any]) -> Callable[..., Any]:
        function = task.function
        call = (lambda *args, **kwargs: self._await(function(*args, **kwargs))) if task.is_async else function
        return call if self._door is None else self._door.around(call)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """That of `async def` handlers, if there was one."""
        return None if self._runner is None else self._runner.get_loop()

    def close(self) -> None:
        """Ends the event loop of `async def` handlers, if there was one."""
        if self._runner is not None:
            if self._app.lifecycle.has_loops:
                self._runner.run(self._app.lifecycle.aclose())
            self._runner.close()

    def _call(self, context: Context) -> Any:
        """The handler, with middleware around it."""
        try:
            return self._handler(context.task)(*context.args, **context.kwargs)
        finally:
            if FORKS.is_child:
                end_of_a_forked_child()

    def _await(self, coroutine: Any) -> Any:
        if self._runner is None:
            import asyncio  # noqa: PLC0415 (see `alone`)

            self._runner = asyncio.Runner()
        loop = self._runner.get_loop()  # without a copy of the context each sees the first one's current()
        return run_through(loop, loop.create_task(alone(coroutine, self._door), context=copy_context()))

    def _after_error(
        self,
        entry: bytes,
        type: str,
        attempt: int,
        decided: Verdict,
        seconds: float,
        log: str = "",
        hide: Callable[[str], str] = str,
    ) -> bytes:
        if decided.word in ("snooze", "release"):
            return verdict(entry, decided.word.encode(), type.encode(), decided.delay_ms, b"")
        at_ms = int(time() * 1000)
        kept = record(decided, attempt=attempt, at_ms=at_ms, seconds=seconds, worker=self._worker(), log=log)
        kept |= {name: hide(str(kept[name])) for name in ("message", "traceback", "log") if kept.get(name)}
        return verdict(entry, decided.word.encode(), type.encode(), decided.delay_ms, msgpack.packb(kept))
