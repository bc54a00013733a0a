"""The handle of a task that a server has, and what its answers mean."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from distq.errors import (
    NotWaiting,
    ResultNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    UnknownTask,
)

if TYPE_CHECKING:
    from distq.client.client import Ask, Client

MOST_WAIT_S = 30.0
"""Of one request; a longer wait is several."""
_PENDING = object()


class RemoteHandle:
    """One requested call, as `distq.result.Handle`, over HTTP. `client.result(id)` gives an equal one."""

    __slots__ = ("_client", "created", "id", "queue")

    def __init__(self, client: Client, id: str, queue: str | None = None, created: bool = True) -> None:
        self._client = client
        self.id = id
        self.queue = queue
        self.created = created

    def status(self) -> str:
        """queued, scheduled, running, completed, dead, cancelled, expired or unknown."""
        return _status(self._client.ask(*self._look()))

    def get(self, timeout: float | None = None) -> Any:
        """The handler's return value, in what JSON knows; waits for it at most `timeout` seconds (None: for ever).

        Raises the same errors as `Handle.get`, and BrokerUnavailable when the server does not answer.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        while True:
            value = self._value(self._client.ask(*self._wait(give_up)), give_up, timeout)
            if value is not _PENDING:
                return value

    def cancel(self, *, running: bool = False, kill: bool = False) -> bool:
        """Ends the task if it still waits; with `running` or `kill` also if it runs. See `Handle.cancel`."""
        return self._client.ask(*self._cancel(running, kill), key=uuid.uuid4().hex)[0] == 200

    def reschedule(self, **change: Any) -> None:
        """Gives a task that waits another time, priority or queue: `delay=` (0: now), `eta=`, `priority=`, `queue=`.
        See `Handle.reschedule`."""
        self._moved(self._client.ask(*self._reschedule(change), key=uuid4().hex))

    async def astatus(self) -> str:
        """`status()` for asyncio."""
        return _status(await self._client.aask(*self._look()))

    async def aget(self, timeout: float | None = None) -> Any:
        """`get()` for asyncio."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while True:
            value = self._value(await self._client.aask(*self._wait(give_up)), give_up, timeout)
            if value is not _PENDING:
                return value

    async def acancel(self, *, running: bool = False, kill: bool = False) -> bool:
        """`cancel()` for asyncio."""
        return (await self._client.aask(*self._cancel(running, kill), key=uuid.uuid4().hex))[0] == 200

    async def areschedule(self, **change: Any) -> None:
        """`reschedule()` for asyncio."""
        self._moved(await self._client.aask(*self._reschedule(change), key=uuid4().hex))

    def __repr__(self) -> str:
        return f"<RemoteHandle {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    # -- what is asked, and what the answer means --------------------------------------------------------------------

    def _look(self) -> Ask:
        return "GET", f"/api/v1/results/{quote(self.id, safe='')}", None, (200, 202, 404), 0.0

    def _wait(self, give_up: float | None) -> Ask:
        left = MOST_WAIT_S if give_up is None else min(MOST_WAIT_S, max(0.0, give_up - time.monotonic()))
        return "GET", f"/api/v1/results/{quote(self.id, safe='')}?wait={left:.3f}", None, (200, 202, 404), left

    def _cancel(self, running: bool, kill: bool) -> Ask:
        how = {"running": running, "kill": kill}
        return "POST", f"/api/v1/tasks/{quote(self.id, safe='')}/cancel", how, (200, 404, 409), 0.0

    def _reschedule(self, change: dict[str, Any]) -> Ask:
        return "POST", f"/api/v1/tasks/{quote(self.id, safe='')}/reschedule", change, (200, 404, 409), 0.0

    def _moved(self, answer: tuple[int, Any]) -> None:
        status, told = answer
        if status == 404:
            raise UnknownTask(f"no task {self.id} is known to the server", id=self.id)
        if status == 409:
            raise NotWaiting(str(told["detail"]), id=self.id)

    def _value(self, answer: tuple[int, Any], give_up: float | None, timeout: float | None) -> Any:
        status, told = answer
        if status == 404:
            raise UnknownTask(f"no task {self.id} is known to the server", id=self.id)
        match told["status"]:
            case "completed":
                if not told.get("is_kept", True):
                    raise ResultNotKept(f"task {self.id} is completed, but keeps no result (result_ttl=0)", id=self.id)
                return told.get("result")
            case "dead":
                error = told.get("error") or {"type": "Dead", "message": "", "traceback": ""}
                raise TaskFailed(id=self.id, **error)
            case "cancelled":
                raise TaskCancelled(f"task {self.id} was cancelled", id=self.id)
            case "expired":
                raise TaskExpired(f"task {self.id} could not start before it expired", id=self.id)
        if give_up is not None and time.monotonic() >= give_up:
            raise ResultTimeout(f"task {self.id} has not ended within {timeout} s", id=self.id)
        return _PENDING


def _status(answer: tuple[int, Any]) -> str:
    return "unknown" if answer[0] == 404 else str(answer[1]["status"])
