"""Calling tasks through a server: what is sent, what is sent again, and what errors mean."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from distq.client.handle import RemoteHandle
from distq.client.operator import Operator
from distq.client.transport import Asking, Blocking, Place, Reply
from distq.errors import (
    AlreadyEnqueued,
    BrokerUnavailable,
    ConfigurationError,
    DistqError,
    PayloadTooLarge,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
)

Ask = tuple[str, str, Any, tuple[int, ...], float]
"""Method, path, body, statuses that are answers, seconds that the server may take to answer on purpose."""
Calls = Sequence[tuple[Any, ...] | list[Any] | Mapping[str, Any]]

MOST_AT_ONCE = 1000
"""Calls in one request that is recognized when it is sent again."""
LATER = (429, 502, 503, 504)
"""Statuses of the server, and of proxies before it, after which the same is asked again."""
_MISSING: Any = object()


class Client:
    """A `distq server`. Threads, and any event loop, may share it.

    A request whose answer is lost is sent again, until `timeout` seconds have passed: the server recognizes it, so that
    it makes no second task. So are those that the server wants later (429, 503).
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 10.0) -> None:
        self._place, self.timeout = Place(url), timeout
        if key is not None and (not key.isascii() or not key.isprintable()):
            raise ConfigurationError("a key is printable ASCII")
        self._headers = {"X-API-Key": key} if key else {}
        self._blocking = Blocking(self._place)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Asking] = WeakKeyDictionary()
        self.api = Operator(self.ask)
        """Looking after queues, limits, schedules, workers …"""
        self.aapi = Operator(self.aask)
        """The same for asyncio."""

    def enqueue(self, type: str, payload: Any = _MISSING, **options: Any) -> RemoteHandle:
        """Enqueues a task by its type, as `app.enqueue`: a mapping as `payload` becomes keyword arguments, anything
        else the one positional argument. Options are those of `task.options()`.

        Raises TypeError for arguments that do not fit, ConfigurationError, UnknownQueue, PayloadTooLarge,
        BrokerUnavailable.
        """
        return self._made(self.ask(*self._one(type, payload, options), key=_once(options)))

    def enqueue_many(self, type: str, calls: Calls, **options: Any) -> list[RemoteHandle]:
        """Enqueues many calls of one type, each a tuple of positional or a mapping of keyword arguments."""
        answers = []
        for start in range(0, len(calls), MOST_AT_ONCE):
            some = self._many(type, calls[start : start + MOST_AT_ONCE], options)
            answers.append(self.ask(*some, key=_once({})))
        return self._all(answers)

    def result(self, id: str) -> RemoteHandle:
        """The handle of the task with this id."""
        return RemoteHandle(self, id)

    async def aenqueue(self, type: str, payload: Any = _MISSING, **options: Any) -> RemoteHandle:
        """`enqueue` for asyncio."""
        return self._made(await self.aask(*self._one(type, payload, options), key=_once(options)))

    async def aenqueue_many(self, type: str, calls: Calls, **options: Any) -> list[RemoteHandle]:
        """`enqueue_many` for asyncio."""
        answers = []
        for start in range(0, len(calls), MOST_AT_ONCE):
            some = self._many(type, calls[start : start + MOST_AT_ONCE], options)
            answers.append(await self.aask(*some, key=_once({})))
        return self._all(answers)

    def close(self) -> None:
        """Ends the connections that threads have used."""
        self._blocking.close()

    async def aclose(self) -> None:
        """Ends the connections of the running loop."""
        found = self._loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            found.close()

    # -- requests ----------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: Any, expected: tuple[int, ...], patience: float, key: str | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of an answer that is expected. Raises what the server says of others."""
        turns = _Turns(self.timeout + patience)
        headers, data = self._form(body, key)
        while True:
            try:
                reply = self._blocking.ask(method, path, headers, data, turns.left())
            except OSError as error:
                time.sleep(turns.after(error))
                continue
            if reply.status not in LATER:
                return _understood(reply, expected, path)
            time.sleep(turns.after(reply))

    async def aask(
        self, method: str, path: str, body: Any, expected: tuple[int, ...], patience: float, key: str | None = None
    ) -> tuple[int, Any]:
        """`ask` for asyncio."""
        turns = _Turns(self.timeout + patience)
        headers, data = self._form(body, key)
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = Asking(self._place)
        while True:
            try:
                reply = await self._loops[loop].ask(method, path, headers, data, turns.left())
            except OSError as error:
                await asyncio.sleep(turns.after(error))
                continue
            if reply.status not in LATER:
                return _understood(reply, expected, path)
            await asyncio.sleep(turns.after(reply))

    def _form(self, body: Any, key: str | None) -> tuple[dict[str, str], bytes | None]:
        headers = dict(self._headers)
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is None:
            return headers, None
        return headers | {"Content-Type": "application/json"}, json.dumps(body, allow_nan=False, default=_text).encode()

    def _one(self, type: str, payload: Any, options: dict[str, Any]) -> Ask:
        arguments: dict[str, Any] = {} if payload is _MISSING else {"args": [payload]}
        if isinstance(payload, Mapping):
            arguments = {"kwargs": dict(payload)}
        return "POST", "/api/v1/tasks", {"type": type, **arguments, **options}, (200, 201, 409), 0.0

    def _many(self, type: str, calls: Calls, options: dict[str, Any]) -> Ask:
        plain = [dict(call) if isinstance(call, Mapping) else list(call) for call in calls]
        return "POST", "/api/v1/tasks/bulk", {"type": type, "calls": plain, **options}, (201, 409), 0.0

    def _made(self, answer: tuple[int, Any]) -> RemoteHandle:
        status, told = answer
        if status == 409:
            return self._all([answer])[0]
        return RemoteHandle(self, told["id"], told["queue"], told["created"])

    def _all(self, answers: Sequence[tuple[int, Any]]) -> list[RemoteHandle]:
        """The tasks of all calls. Raises AlreadyEnqueued if one was refused because it has its task already."""
        handles = [RemoteHandle(self, id) for _, told in answers for id in told["ids"]]
        for status, told in answers:
            if status == 409:
                raise AlreadyEnqueued(told["detail"], told["refused"], handles)
        return handles


class _Turns:
    """When a request is sent again, and when it is given up."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._pause = 0.0
        """The first time at once: the connection was kept, and the server has closed it."""

    def left(self) -> float:
        return max(0.001, self._until - time.monotonic())

    def after(self, failure: OSError | Reply) -> float:
        """Seconds to wait before the next turn. Raises BrokerUnavailable when there is none."""
        pause = self._pause
        if isinstance(failure, Reply):
            given = failure.headers.get("retry-after", "1")
            pause = float(given) if given.isdigit() else 1.0
        if time.monotonic() + pause >= self._until or isinstance(failure, TimeoutError):
            why = f"the server says {failure.status}" if isinstance(failure, Reply) else f"no answer: {failure}"
            raise BrokerUnavailable(f"{why}; it was not there within the time limit")
        self._pause = min(1.0, max(0.05, self._pause * 2))
        return pause


def _once(options: Mapping[str, Any]) -> str | None:
    """What makes a call recognizable when it is sent again; one with an id of its own is."""
    return None if options.get("id") is not None else uuid.uuid4().hex


def _understood(reply: Reply, expected: tuple[int, ...], path: str) -> tuple[int, Any]:
    """The answer, if it is one of those. Raises the error that the calls of distq raise for the same."""
    told = reply.json()
    if reply.status == 204 and reply.status in expected:
        return reply.status, None
    if not isinstance(told, dict):
        raise DistqError(f"the answer {reply.status} is none of a distq server: does the address lead to one?")
    if reply.status in expected:
        return reply.status, told
    detail = str(told.get("detail", ""))
    errors = told.get("errors", [])
    field = str(errors[0].get("field", "")) if errors else ""
    said = f"{field}: {errors[0].get('message')}" if errors and field not in detail else detail
    if reply.status == 413:
        raise PayloadTooLarge(said or "the server takes no such large request")
    if reply.status == 400 and any(part in ("args", "kwargs") for part in field.split(".")):
        raise TypeError(said)
    if reply.status == 400 and field == "queue":
        raise UnknownQueue(said)
    if reply.status in (400, 401, 403):
        raise ConfigurationError(said or f"the server says {reply.status}")
    _, _, _, noun, name, *_ = [*path.partition("?")[0].split("/"), "", "", ""]
    if reply.status == 404 and noun == "tasks":
        raise UnknownTask(said, id=unquote(name))
    if reply.status == 404 and noun in _UNKNOWN:
        raise _UNKNOWN[noun](said)
    raise DistqError(f"the server says {reply.status}: {said}")


_UNKNOWN = {"queues": UnknownQueue, "schedules": UnknownSchedule}


def _text(value: object) -> str:
    """Times and durations as text; anything else cannot travel as JSON."""
    if isinstance(value, timedelta):
        return str(value.total_seconds()) + "s"
    form = getattr(value, "isoformat", None)
    if form is None:
        raise TypeError(f"{type(value).__name__} cannot travel as JSON: give text, numbers, lists and mappings")
    return str(form())
