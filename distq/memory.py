"""What a resumable task remembers: the results of its steps, and how far it has come with its rows.

The logic is here, without I/O but for `Memory.tell` and `atell`, its two ways to the broker. Whoever calls a handler
gives it a `Desk`; what is written there is in `broker/lua/checkpoint.lua`.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, cast

from msgpack import UnpackException, unpackb

from distq.broker import memory
from distq.broker.verbs import Command
from distq.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    DistqError,
    NotSerializable,
    PayloadTooLarge,
)
from distq.message import HAS_MEMORY, own_max_deliveries
from distq.outcome import Interrupted, Reject

if TYPE_CHECKING:
    from distq.context import Context

logger = logging.getLogger("distq.worker")

PATIENCE_S = 60.0
"""A handler whose memory cannot be written waits so long for the broker."""
PAUSE_S = 0.1
GONE = "its worker has lost it"
MAX_NAME = 200
UNKNOWN: Any = object()
"""Nothing is remembered of it."""

R = TypeVar("R")


class Desk(Protocol):
    """What a worker does for the attempts that one of its threads runs."""

    used_by: Context | None
    """The last attempt that has used its memory, or has said how far it is."""
    memory: Memory | None

    @property
    def worker(self) -> str:
        """Its name in the broker."""

    def runs(self, context: Context) -> bool:
        """Whether this attempt runs here."""

    def holder(self, context: Context) -> str | None:
        """The name under which the worker holds this attempt; None: it does not any more."""

    def report(self, context: Context, done: float, total: float | None, text: str) -> None:
        """Shows how far an attempt is, if it still runs."""

    def is_ending(self) -> bool:
        """Whether the worker shall end: what can go on elsewhere is to stop."""


DESK: ContextVar[Desk | None] = ContextVar("distq.desk", default=None)
DESKS: list[Desk] = []
"""All of this process."""


def desk_for(context: Context) -> Desk | None:
    """The one at which this attempt runs. A thread that its handler has started has no context variables of it."""
    desk = DESK.get()
    return desk if desk is not None else next((one for one in DESKS if one.runs(context)), None)


class Rows:
    """How far a task has come with one sequence of rows."""

    def __init__(self, kept: Any, rows: Any, key: Callable[[Any], Any] | None) -> None:
        found: tuple[int, Any, bool] = (0, None, False) if kept is UNKNOWN else kept
        self.count, self.last, self.is_done = found
        self.saved = self.count
        self._key, self._has_key = key, key is not None and self.last is not None
        """It is not known by key how far a run came that had none: then the first ones are those that were done."""
        self.source: Any  # what to go through
        if isinstance(rows, Iterable | AsyncIterable):
            self.source, self._to_skip = rows, self.count
        elif not callable(rows):
            raise TypeError(f"resume() goes through rows, or a function that gives them, not through {rows!r:.80}")
        elif key is None:
            raise ConfigurationError("resume() with a function needs key=: it is called with the key of the last row")
        else:
            self.source, self._to_skip = () if self.is_done else rows(self.last), 0 if self._has_key else self.count

    def skips(self, row: Any) -> bool:
        """Whether an earlier run was done with this row. With a key they rise: it looks up to the first new one."""
        if not self._to_skip:
            return False
        if self._key is None or not self._has_key:
            self._to_skip -= 1
            return True
        if self._key(row) <= self.last:
            return True
        self._to_skip = 0
        return False

    def passed(self, row: Any) -> None:
        """The task asks for the next one: it is done with this."""
        self.count += 1
        if self._key is not None:
            self.last = self._key(row)


class Memory:
    """What one attempt remembers, and what it was told by those before it."""

    def __init__(self, context: Context, desk: Desk) -> None:
        self.context, self._desk, self._app = context, desk, context.task.app
        self._prefix = self._app.broker.prefix(context.queue)
        self._found: dict[bytes, bytes] | None = None
        self._used: set[bytes] = set()
        self._rows: dict[bytes, Rows] = {}
        self._is_interrupted = self._is_said = False
        self._is_at_most_once = own_max_deliveries(context.message.flags) == 1

    # -- to the broker and back --------------------------------------------------------------------------------------

    def is_unread(self) -> bool:
        """Whether it has to be asked what earlier runs have left: not if the task's head knows of no memory."""
        if self._found is None and not self.context.message.flags & HAS_MEMORY:
            self._found = {}
        return self._found is None

    def tell(self, pairs: dict[bytes, bytes]) -> None:
        """Writes; without pairs it reads. Returns when it is done. Raises Interrupted, Reject, BrokerUnavailable."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._heard(self._app.broker.run(self._command(pairs)), pairs)
            except BrokerUnavailable as error:
                self._bear(error, give_up)
                time.sleep(PAUSE_S)

    async def atell(self, pairs: dict[bytes, bytes]) -> None:
        """`tell` for asyncio. Who is cancelled meanwhile is so behind it: else the step would run again."""
        import asyncio  # noqa: PLC0415 (a third of what `import distq` would cost)

        telling = asyncio.ensure_future(self._atell(pairs, asyncio.sleep))
        try:
            await asyncio.shield(telling)
        except asyncio.CancelledError:
            await telling
            raise

    async def _atell(self, pairs: dict[bytes, bytes], sleep: Callable[[float], Awaitable[None]]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._heard(await self._app.async_broker.run(self._command(pairs)), pairs)
            except BrokerUnavailable as error:
                self._bear(error, give_up)
                await sleep(PAUSE_S)

    def _command(self, pairs: dict[bytes, bytes]) -> Command[tuple[str, dict[bytes, bytes]]]:
        worker = self._desk.holder(self.context)
        if worker is None:
            raise Interrupted(GONE)
        return memory.checkpoint(self._prefix, worker, self.context.entry, pairs)

    def _heard(self, reply: tuple[str, dict[bytes, bytes]], pairs: dict[bytes, bytes]) -> None:
        word, found = reply
        if word == "gone":
            raise Interrupted(GONE)
        if word == "full":
            raise self._too_much(f"{len(pairs)} more would be above {memory.MOST_BYTES} bytes")
        if self._found is None:
            self._found = found

    def _bear(self, error: BrokerUnavailable, give_up: float) -> None:
        """The broker may come back."""
        if self._desk.is_ending():
            raise Interrupted("its worker ends, without the broker") from error
        if time.monotonic() > give_up:
            raise error

    # -- steps -------------------------------------------------------------------------------------------------------

    def field(self, kind: Literal["step", "rows"], name: str) -> tuple[bytes, str]:
        """Where something of this name is remembered, and what it is called in errors."""
        what = f"{'step' if kind == 'step' else 'resume()'} {name!r:.80}"
        if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME:
            raise ConfigurationError(f"{what}: a name is text of at most {MAX_NAME} bytes")
        return memory.field(kind, name), what

    def begin(self, field: bytes, what: str) -> None:
        """To be called when it is loaded, before something that it is to remember."""
        if field in self._used:
            raise ConfigurationError(f"{what} was there before in this attempt: give each a name of its own")
        found = self._found or {}
        if field not in found and len({*found, *self._used}) >= memory.MOST_FIELDS - 2:  # its size and its progress
            raise self._too_much(f"{what} would be number {memory.MOST_FIELDS - 1}")
        self._used.add(field)

    @contextmanager
    def trying(self, field: bytes) -> Iterator[None]:
        """Around a step: one that raises has not happened, and its handler may try it again."""
        try:
            yield
        except BaseException:
            self._used.discard(field)
            raise

    def recall(self, field: bytes) -> Any:
        """What an earlier run has left; UNKNOWN: nothing."""
        raw = (self._found or {}).get(field)
        return UNKNOWN if raw is None else self._app.codec.unpack(raw)

    def stop_if_ending(self) -> None:
        """Between two steps or rows. What must not begin twice is not stopped."""
        if self._desk.is_ending() and not self._is_at_most_once:
            self.note_swallowed()
            self._is_interrupted = True
            raise Interrupted("its worker ends")

    def note_swallowed(self) -> None:
        """The handler goes on, or has returned: if it was interrupted before, the log names it."""
        if self._is_interrupted and not self._is_said:
            self._is_said = True
            logger.warning(
                "%s %s was interrupted, since its worker ends, and goes on: let Interrupted pass "
                "(`except Exception` does, `except BaseException` and a bare `except` do not)",
                self.context.type, self.context.id,
            )  # fmt: skip

    def packed(self, value: Any, what: str) -> bytes:
        """A value to be remembered. The step has happened: another attempt would do it again, and end the same way."""
        try:
            return self._app.codec.result_packer()(value)
        except NotSerializable as error:
            raise Reject(f"{what}: its result cannot be remembered: {error}") from error

    def _too_much(self, what: str) -> Reject:
        reject = Reject(f"a task remembers at most {memory.MOST_FIELDS} steps and {memory.MOST_BYTES} bytes: {what}")
        reject.__cause__ = PayloadTooLarge(reject.reason)
        return reject

    # -- rows --------------------------------------------------------------------------------------------------------

    def rows(self, field: bytes, rows: Any, key: Callable[[Any], Any] | None) -> Rows:
        """These rows, and how far an earlier run has come with them."""
        self._rows[field] = found = Rows(self.recall(field), rows, key)
        return found

    def position(self, field: bytes) -> dict[bytes, bytes]:
        """What is to be written of it now."""
        rows = self._rows[field]
        rows.saved = rows.count
        return {field: self.packed([rows.count, rows.last, rows.is_done], "resume()")}

    def finish(self) -> None:
        """The attempt has not completed: how far it came is written, if the broker is there."""
        with suppress(BrokerError, Interrupted, Reject):
            if pairs := self._unsaved():
                self._heard(self._app.broker.run(self._command(pairs)), pairs)

    async def afinish(self) -> None:
        """`finish` for asyncio."""
        with suppress(BrokerError, Interrupted, Reject):
            if pairs := self._unsaved():
                self._heard(await self._app.async_broker.run(self._command(pairs)), pairs)

    def _unsaved(self) -> dict[bytes, bytes]:
        unsaved = [field for field, rows in self._rows.items() if rows.count != rows.saved]
        return {name: value for field in unsaved for name, value in self.position(field).items()}


class Progress(NamedTuple):
    """How far a task is, as its handler has said."""

    done: float
    total: float | None
    text: str
    at: datetime
    """When it said so, by the clock of its host (UTC)."""


def progress_in(raw: bytes | None) -> Progress | None:
    """What was said; None: nothing, or nothing that can be read."""
    try:
        done, total, text, at = unpackb(raw or b"")
        is_sound = isinstance(done, int | float) and isinstance(total, int | float | None) and isinstance(text, str)
        return Progress(done, total, text, datetime.fromtimestamp(at, UTC)) if is_sound else None
    except (ValueError, TypeError, OverflowError, OSError, UnpackException):
        return None


def memory_of(context: Context) -> Memory:
    """The memory of a running attempt. Raises DistqError outside of a worker, Interrupted behind the attempt's end."""
    desk = desk_for(context)
    if desk is None and DESKS:
        raise Interrupted(GONE)
    if desk is None:
        raise DistqError("steps and rows are remembered in a worker only")
    if context.items[0] is not context:
        raise DistqError("steps and rows are remembered for one task, and this is a batch of several")
    if desk.memory is None or desk.memory.context is not context:
        if desk.holder(context) is None:
            raise Interrupted(GONE)
        desk.memory, desk.used_by = Memory(context, desk), context
    return desk.memory


# -- as handlers use it: for threads and for asyncio ------------------------------------------------------------------


def step(memory: Memory, name: str, call: Callable[[], R]) -> R:
    """Runs a step, or gives what an earlier run has remembered of it."""
    field, what = memory.field("step", name)
    if memory.is_unread():
        memory.tell({})
    memory.begin(field, what)
    known = memory.recall(field)
    if known is not UNKNOWN:
        return cast("R", known)
    memory.stop_if_ending()
    with memory.trying(field):
        value = call()
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError(f"{what} is a coroutine: await current().astep(…)")
    memory.tell({field: memory.packed(value, what)})
    return value


async def astep(memory: Memory, name: str, call: Callable[[], Awaitable[R]]) -> R:
    """`step` for asyncio."""
    field, what = memory.field("step", name)
    if memory.is_unread():
        await memory.atell({})
    memory.begin(field, what)
    known = memory.recall(field)
    if known is not UNKNOWN:
        return cast("R", known)
    memory.stop_if_ending()
    with memory.trying(field):
        value = await call()
    await memory.atell({field: memory.packed(value, what)})
    return value


def resume(memory: Memory, name: str, given: Any, key: Callable[[Any], Any] | None, every: int) -> Iterator[Any]:
    """The rows with which no earlier run was done."""
    field, what = memory.field("rows", name)
    if memory.is_unread():
        memory.tell({})
    memory.begin(field, what)
    rows = memory.rows(field, given, key)
    if rows.is_done:
        return
    for row in rows.source:
        if rows.skips(row):
            continue
        memory.stop_if_ending()
        yield row
        rows.passed(row)
        if rows.count - rows.saved >= every:
            memory.tell(memory.position(field))
    rows.is_done = True
    memory.tell(memory.position(field))


async def aresume(
    memory: Memory, name: str, given: Any, key: Callable[[Any], Any] | None, every: int
) -> AsyncIterator[Any]:
    """`resume` for asyncio."""
    field, what = memory.field("rows", name)
    if memory.is_unread():
        await memory.atell({})
    memory.begin(field, what)
    rows = memory.rows(field, given, key)
    if rows.is_done:
        return
    async for row in rows.source:
        if rows.skips(row):
            continue
        memory.stop_if_ending()
        yield row
        rows.passed(row)
        if rows.count - rows.saved >= every:
            await memory.atell(memory.position(field))
    rows.is_done = True
    await memory.atell(memory.position(field))
