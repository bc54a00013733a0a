"""Running one message: from its bytes to a verdict in wire form. It talks to nobody.

    parse -> find the handler -> unpack the arguments -> call it inside the onion -> pack the result -> verdict

Whatever user code does ends in a verdict: an error, SystemExit, an exception whose `__str__` raises, a result that
cannot travel.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack

from distq.app import Distq
from distq.broker.verbs import verdict
from distq.codec import DecodeError
from distq.context import CURRENT, Context, Meter
from distq.errors import NotSerializable, PayloadTooLarge
from distq.message import NEVER_SAID, VERSION, Message, parse
from distq.middleware import attempt_chain
from distq.outcome import Verdict, decide, record

RESEND_WINDOW_MS = 60_000
PATIENCE_MS = 86_400_000
"""How long a task waits for a worker that knows its type, or its envelope's version."""

_COMPLETED = b"\x94\xa9completed"  # msgpack: ["completed", value, finished at ms, seconds]
_COMPLETED_EMPTY = b"\x91\xa9completed"
_TIMES = struct.Struct(">BQBd")


class Executor:
    """Runs messages of one application in this process, one at a time."""

    def __init__(self, app: Distq, worker: Callable[[], str], meter: Meter | None) -> None:
        self._app, self._worker, self._meter = app, worker, meter
        self._tasks = app.tasks
        self._unpack_call = app.codec.unpack_call
        self._pack = app.codec.pack
        self._chain = attempt_chain(app.middleware, self._call)
        self._limit = app.max_payload
        self._ttl_ms = {name: task.result_ttl_s() * 1000 for name, task in app.tasks.items()}
        self._runner: asyncio.Runner | None = None

    def run(self, queue: str, entry: bytes, raw: bytes, fence: int) -> tuple[str, bytes]:
        """(type, verdict) of one attempt."""
        started = time.time()
        try:
            message = parse(raw)
        except ValueError as error:
            return "(corrupt)", self._failed(entry, "(corrupt)", 1, Verdict("bury", 0, error), started)
        task = self._tasks.get(message.type)
        if task is None or message.version > VERSION:
            return message.type, verdict(entry, b"park", message.type.encode(), PATIENCE_MS, b"")
        try:
            args, kwargs, headers = self._unpack_call(message.body)
        except DecodeError as error:
            return message.type, self._failed(
                entry, message.type, message.attempt + 1, Verdict("bury", 0, error), started
            )
        id = entry.partition(b" ")[0].decode()
        context = Context(id, queue, message, fence, task, args, kwargs, headers, self._meter)
        token = CURRENT.set(context)
        try:
            value = self._chain(context)
            done = self._completed(entry, message, value)
        except BaseException as error:
            done = self._failed(entry, message.type, message.attempt + 1, decide(error), started)
        finally:
            CURRENT.reset(token)
        return message.type, done

    def close(self) -> None:
        """Ends the event loop of `async def` handlers, if there was one."""
        if self._runner is not None:
            self._runner.close()

    def _call(self, context: Context) -> Any:
        task = context.task
        if task.is_async:
            return self._await(task.function(*context.args, **context.kwargs))
        return task.function(*context.args, **context.kwargs)

    def _await(self, coroutine: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def _completed(self, entry: bytes, message: Message, value: Any) -> bytes:
        ttl_s = message.result_ttl_s
        ttl_ms = self._ttl_ms[message.type] if ttl_s == NEVER_SAID else ttl_s * 1000
        word = b"complete" if message.attempt == 0 and message.deliveries == 0 else b"complete_again"
        type = message.type.encode()
        if ttl_ms == 0:
            return verdict(entry, word, type, RESEND_WINDOW_MS, _COMPLETED_EMPTY)
        try:
            packed = self._pack(value)
        except NotSerializable as error:
            raise NotSerializable(f"the handler's result cannot be stored: {error}") from None
        if len(packed) > self._limit:
            raise PayloadTooLarge(
                f"the handler's result of {len(packed)} bytes is above the limit of {self._limit}: store it elsewhere "
                "and return its address, or declare result_ttl=0"
            )
        now = time.time()
        times = _TIMES.pack(0xCF, int(now * 1000), 0xCB, max(0.0, now - message.created_ms / 1000))
        return verdict(entry, word, type, max(ttl_ms, RESEND_WINDOW_MS), b"".join((_COMPLETED, packed, times)))

    def _failed(self, entry: bytes, type: str, attempt: int, decided: Verdict, started: float) -> bytes:
        if decided.word == "snooze":
            return verdict(entry, b"snooze", type.encode(), decided.delay_ms, b"")
        now = time.time()
        kept = record(decided, attempt=attempt, at_ms=int(now * 1000), seconds=now - started, worker=self._worker())
        blob = msgpack.packb(kept)
        return verdict(entry, decided.word.encode(), type.encode(), decided.delay_ms, blob)
