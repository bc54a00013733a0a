"""Running one message: from its bytes to a verdict in wire form. It talks to nobody.

    parse -> find the handler -> unpack the arguments -> call it inside the onion -> pack the result -> verdict

Whatever user code does ends in a verdict: an error, SystemExit, an exception whose `__str__` raises, a result that
cannot travel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, NamedTuple, NoReturn

import msgpack

from distq.app import DEFAULT_MIDDLEWARE, Distq
from distq.broker.verbs import verdict, verdict_kind, verdict_like
from distq.codec import DecodeError
from distq.context import CURRENT, Context, Meter
from distq.errors import NotSerializable, PayloadTooLarge, did_you_mean
from distq.message import HAS_RECORDS, NEVER_SAID, VERSION, parse, sent_head
from distq.middleware import Link, attempt_chain
from distq.outcome import Reject, Verdict, decide, record
from distq.task import Task
from distq.worker.board import MAX_ENTRY_BYTES

logger = logging.getLogger("distq.worker")

RESEND_WINDOW_MS = 60_000
PATIENCE_MS = 86_400_000
"""How long a task waits for a worker that knows its type, or its envelope's version."""

_COMPLETED = b"\x94\xa9completed"  # msgpack: ["completed", value, finished at ms, seconds]
_COMPLETED_EMPTY = b"\x91\xa9completed"
_TIMES = struct.Struct(">BQBd")

MAX_KINDS = 1000
LEFT_S = 1.0
"""How long what a handler has left on the event loop may take to end."""


class Forks:
    """Whether this process is a fork of the worker, made by a handler."""

    is_child = False


FORKS = Forks()


def _forked() -> None:
    FORKS.is_child = True


os.register_at_fork(after_in_child=_forked)


async def _alone(coroutine: Any) -> Any:
    """Awaits a handler, and ends what it has left on the loop: that must not run on inside of the next attempt."""
    try:
        return await coroutine
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LEFT_S)


def end_of_a_forked_child() -> NoReturn:
    """A handler forked, and its child came back out of it. It must not go on as a second worker: it ends here, with the
    exit code that it would have had if its program was nothing but the handler."""
    error = sys.exception()
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)


class Kind(NamedTuple):
    """What messages with the same head have in common: it is worked out for the first of them."""

    task: Task[Any, Any, Any] | None
    """None: this worker does not know the type, or the envelope's version."""
    type: str
    attempt: int
    body_at: int
    completes: bytes
    """The verdict, as `verdict_like` takes it."""
    keeps_result: bool


class Executor:
    """Runs messages of one application in this process, one at a time."""

    def __init__(self, app: Distq, worker: Callable[[], str], meter: Meter | None) -> None:
        self._app, self._worker, self._meter = app, worker, meter
        self._tasks = app.tasks
        self._unpack_call = app.codec.unpack_call
        self._pack = app.codec.pack
        self._chain = self._onion(app.middleware)
        self._limit = app.max_payload
        self._kinds: dict[bytes, Kind] = {}
        self._unknown: set[str] = set()
        self._runner: asyncio.Runner | None = None
        FORKS.is_child = False  # from here on, this process is a worker

    def run(self, queue: str, entry: bytes, raw: bytes, fence: int) -> tuple[str, bytes]:
        """(type, verdict) of one attempt."""
        try:
            if len(entry) > MAX_ENTRY_BYTES:
                raise ValueError(f"its id has {len(entry)} bytes")
            kind = self._kinds.get(sent_head(raw)) or self._meet(raw)
        except (ValueError, IndexError) as error:
            logger.error("task %.200r cannot be read, and is dead: %s", entry, error)
            return "(corrupt)", self._failed(entry, "(corrupt)", 1, Verdict("bury", 0, error), time.time())
        if kind.task is None:
            self._say_unknown(kind.type)
            return kind.type, verdict(entry, b"park", kind.type.encode(), PATIENCE_MS, b"")
        try:
            args, kwargs, headers = self._unpack_call(raw[kind.body_at :])
        except DecodeError as error:
            logger.error("%s %.200r: its arguments cannot be read, and it is dead: %s", kind.type, entry, error)
            return kind.type, self._failed(entry, kind.type, kind.attempt, Verdict("bury", 0, error), time.time())
        context = Context(entry, raw, queue, fence, kind.task, args, kwargs, headers, kind.keeps_result, self._meter)
        token = CURRENT.set(context)
        started = time.time()
        try:
            done = verdict_like(kind.completes, entry, self._chain(context))
        except BaseException as error:
            done = self._failed(entry, kind.type, kind.attempt, decide(error), started)
        finally:
            CURRENT.reset(token)
        return kind.type, done

    def _say_unknown(self, type: str) -> None:
        if type not in self._unknown and len(self._unknown) < MAX_KINDS:
            self._unknown.add(type)
            hint = did_you_mean(type, self._tasks)
            logger.warning("no task of type %r is declared here%s: it waits for a worker that has it", type, hint)

    def _meet(self, raw: bytes) -> Kind:
        """The first message with this head. Raises ValueError when it is none."""
        message = parse(raw)
        task = self._tasks.get(message.type) if message.version <= VERSION else None
        ttl_s = message.result_ttl_s
        if ttl_s == NEVER_SAID:
            ttl_s = 0 if task is None else task.result_ttl_s()
        has_records = message.attempt or message.deliveries or message.flags & HAS_RECORDS
        word = b"complete_again" if has_records else b"complete"
        completes = verdict_kind(word, message.type.encode(), max(ttl_s * 1000, RESEND_WINDOW_MS))
        body_at = len(raw) - len(message.body)
        kind = Kind(task, message.type, message.attempt + 1, body_at, completes, ttl_s > 0)
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[sent_head(raw)] = kind
        return kind

    def close(self) -> None:
        """Ends the event loop of `async def` handlers, if there was one."""
        if self._runner is not None:
            self._runner.close()

    def _onion(self, links: Sequence[Link]) -> Callable[[Context], bytes]:
        """The middleware around the handler. What it returns is packed outside of the application's own links, which
        may change it, and inside of the default ones, which count and log a result that cannot be stored."""
        own = next((i for i, link in enumerate(links) if link not in DEFAULT_MIDDLEWARE), len(links))
        inner = attempt_chain(links[own:], self._call)
        return attempt_chain(links[:own], lambda context: self._packed(context, inner(context)))

    def _call(self, context: Context) -> Any:
        task = context.task
        try:
            if task.is_async:
                return self._await(task.function(*context.args, **context.kwargs))
            return task.function(*context.args, **context.kwargs)
        finally:
            if FORKS.is_child:
                end_of_a_forked_child()

    def _await(self, coroutine: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(_alone(coroutine), context=copy_context())  # else each sees the first one's current()

    def _packed(self, context: Context, value: Any) -> bytes:
        """The result element. One that cannot be stored is final: another attempt would end the same way."""
        if not context.keeps_result:
            return _COMPLETED_EMPTY
        try:
            packed = self._pack(value)
            if len(packed) > self._limit:
                raise PayloadTooLarge(
                    f"{len(packed)} bytes are above the limit of {self._limit}: store it elsewhere and return its "
                    "address, or declare result_ttl=0"
                )
        except (NotSerializable, PayloadTooLarge) as error:
            raise Reject(f"the handler's result cannot be stored: {error}") from error
        now = time.time()
        return _COMPLETED + packed + _TIMES.pack(0xCF, int(now * 1000), 0xCB, max(0.0, now - context.created_ms / 1000))

    def _failed(self, entry: bytes, type: str, attempt: int, decided: Verdict, started: float) -> bytes:
        if decided.word == "snooze":
            return verdict(entry, b"snooze", type.encode(), decided.delay_ms, b"")
        now = time.time()
        kept = record(decided, attempt=attempt, at_ms=int(now * 1000), seconds=now - started, worker=self._worker())
        blob = msgpack.packb(kept)
        return verdict(entry, decided.word.encode(), type.encode(), decided.delay_ms, blob)
