"""What people ask of a server beside calls: queues, dead letters, schedules, limits, workers. One method for each."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode

Duration = float | str | timedelta
Answer = tuple[int, Any]
DONE = (200, 201, 204)


class Operator:
    """`client.api`, and for asyncio `client.aapi`, whose methods have to be awaited.

    They return what the server answers, as its document (`/api/openapi.json`) says: plain dictionaries, lists, text and
    numbers. What is None is left out. They raise ConfigurationError for what does not fit or a key of too low a level,
    UnknownTask, UnknownQueue, UnknownSchedule, BrokerUnavailable when there is no answer in time, DistqError for
    anything else, such as a state in which that cannot be done.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    # -- tasks -------------------------------------------------------------------------------------------------------

    def tasks(
        self,
        *,
        state: str | None = None,
        type: str | None = None,
        queue: str | None = None,
        error: str | None = None,
        since: str | None = None,
        older_than: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Any:
        """A page of tasks; `next` is the `cursor` of the one behind it."""
        wanted = {"state": state, "type": type, "queue": queue, "error": error, "since": since}
        return self._get("tasks", **wanted, older_than=older_than, limit=limit, cursor=cursor)

    def task(self, id: str) -> Any:
        """All that is known of one."""
        return self._get(f"tasks/{_part(id)}")

    def why(self, id: str) -> Any:
        """Why it does not run."""
        return self._get(f"tasks/{_part(id)}/why")

    def retry(self, id: str, *, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None) -> Any:
        """Runs a dead task again, as it was or with other arguments."""
        return self._post(f"tasks/{_part(id)}/retry", args=args, kwargs=kwargs)

    def delete(self, id: str) -> Any:
        """Deletes a dead task for good."""
        return self._send("DELETE", f"tasks/{_part(id)}")

    def cancel_all(
        self, filter: str, *, running: bool = False, dry_run: bool = False, cursor: str | None = None
    ) -> Any:
        """Cancels all waiting tasks that a filter means, such as "type:email error:timeout older:1h". With a `next`
        there may be more: the same again with that as `cursor`."""
        return self._post("tasks/cancel", filter=filter, running=running, dry_run=dry_run, cursor=cursor)

    def reschedule_all(self, filter: str, *, dry_run: bool = False, cursor: str | None = None, **change: Any) -> Any:
        """Gives them another time, priority or queue, as `Handle.reschedule`."""
        return self._post("tasks/reschedule", filter=filter, dry_run=dry_run, cursor=cursor, **change)

    # -- queues, pauses, limits, budgets -----------------------------------------------------------------------------

    def queues(self) -> Any:
        """How many tasks are where."""
        return self._get("queues")

    def queue(self, name: str) -> Any:
        """The same of one queue, or of a partition of it."""
        return self._get(f"queues/{_part(name)}")

    def purge(self, queue: str, *, place: str | None = None, dry_run: bool = False) -> Any:
        """Cancels what waits in a queue: at one `place` (high, default, low, scheduled), or all."""
        return self._post(f"queues/{_part(queue)}/purge", place=place, dry_run=dry_run)

    def pauses(self) -> Any:
        """What is paused."""
        return self._get("pauses")

    def pause(
        self, *, queue: str | None = None, type: str | None = None, key: str | None = None, reason: str | None = None
    ) -> Any:
        """Hands out nothing more of a queue, a type, or a key of a type, until it is resumed."""
        return self._post("pauses", queue=queue, type=type, key=key, reason=reason)

    def resume(self, *, queue: str | None = None, type: str | None = None, key: str | None = None) -> Any:
        """Ends a pause."""
        return self._post("pauses/resume", queue=queue, type=type, key=key)

    def limits(self, type: str | None = None) -> Any:
        """What limits the types, or one."""
        return self._get("limits", type=type)

    def set_limits(
        self,
        type: str,
        *,
        rate: str | Sequence[str] | None = None,
        max_running: int | str | Sequence[int | str] | None = None,
        queue: str | None = None,
    ) -> Any:
        """Limits a type from now on, as `app.limits.set`."""
        said = {"rate": rate, "max_running": max_running, "queue": queue}
        return self._send("PATCH", f"limits/{_part(type)}", said)

    def clear_limits(self, type: str, *, queue: str | None = None) -> Any:
        """What is declared holds again."""
        return self._send("DELETE", f"limits/{_part(type)}{_query(queue=queue)}")

    def budgets(self) -> Any:
        """The budgets that the application declares."""
        return self._get("budgets")

    def budget(self, name: str, *, key: str | None = None) -> Any:
        """What is left of one, of a key if it has some."""
        return self._get(f"budgets/{_part(name)}", key=key)

    def park(self, budget: str, retry_after: Duration, *, key: str | None = None) -> Any:
        """Nobody takes from a budget for so long."""
        return self._post(f"budgets/{_part(budget)}/park", retry_after=retry_after, key=key)

    # -- dead letters ------------------------------------------------------------------------------------------------

    def dead(
        self,
        *,
        type: str | None = None,
        error: str | None = None,
        older_than: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Any:
        """A page of dead letters; `next` is the `cursor` of the one behind it."""
        narrow = {"type": type, "error": error, "older_than": older_than, "queue": queue}
        return self._get("dead", **narrow, limit=limit, cursor=cursor)

    def dead_groups(self, *, queue: str | None = None) -> Any:
        """Of what they died: by type and class of the error."""
        return self._get("dead/groups", queue=queue)

    def replay(
        self,
        *,
        ids: Sequence[str] | None = None,
        type: str | None = None,
        error: str | None = None,
        older_than: Duration | None = None,
        queue: str | None = None,
        all: bool = False,
        dry_run: bool = False,
        rate: str | None = None,
    ) -> Any:
        """Runs dead tasks again: those with these ids, all that fit the conditions, or `all`."""
        which = {"ids": ids, "type": type, "error": error, "older_than": older_than, "queue": queue}
        return self._post("dead/replay", **which, all=all, dry_run=dry_run, rate=rate)

    def purge_dead(
        self,
        *,
        ids: Sequence[str] | None = None,
        type: str | None = None,
        error: str | None = None,
        older_than: Duration | None = None,
        queue: str | None = None,
        all: bool = False,
        dry_run: bool = False,
    ) -> Any:
        """Deletes dead tasks for good; the same conditions."""
        which = {"ids": ids, "type": type, "error": error, "older_than": older_than, "queue": queue}
        return self._post("dead/purge", **which, all=all, dry_run=dry_run)

    # -- schedules ---------------------------------------------------------------------------------------------------

    def schedules(self) -> Any:
        """All of them, with their next ticks."""
        return self._get("schedules")

    def schedule(self, name: str) -> Any:
        """One of them, with its last ticks."""
        return self._get(f"schedules/{_part(name)}")

    def create_schedule(self, name: str, when: str, type: str, **options: Any) -> Any:
        """Makes one that outlives all programs. Options are those of `app.schedules.create`."""
        return self._post("schedules", name=name, when=when, type=type, **options)

    def edit_schedule(self, name: str, **changes: Any) -> Any:
        """Changes what is given."""
        return self._send("PATCH", f"schedules/{_part(name)}", changes)

    def pause_schedule(self, name: str) -> Any:
        """It does not tick until it is resumed."""
        return self._post(f"schedules/{_part(name)}/pause")

    def resume_schedule(self, name: str) -> Any:
        """It goes on with its next tick."""
        return self._post(f"schedules/{_part(name)}/resume")

    def reset_schedule(self, name: str) -> Any:
        """What the code says holds again."""
        return self._post(f"schedules/{_part(name)}/reset")

    def trigger_schedule(self, name: str) -> Any:
        """Enqueues its task now: once, also if the answer is lost and this is sent again."""
        return self._post(f"schedules/{_part(name)}/trigger")

    def delete_schedule(self, name: str) -> Any:
        """Deletes one that no code declares."""
        return self._send("DELETE", f"schedules/{_part(name)}")

    # -- workers and numbers -----------------------------------------------------------------------------------------

    def workers(self) -> Any:
        """Hosts, their processes, and what these hold."""
        return self._get("workers")

    def tell(self, host: str, order: Literal["quiet", "resume", "restart", "stacks", "stop"]) -> Any:
        """Tells a host to take nothing more, to go on, to replace its processes, to show its stacks, or to end."""
        return self._post(f"workers/{_part(host)}/{_part(order)}")

    def stacks(self, host: str) -> Any:
        """What its processes were at when it was last told to show that, in the last minute."""
        return self._get(f"workers/{_part(host)}/stacks")

    def actions(self, *, limit: int | None = None) -> Any:
        """What people have done through the API, the newest first."""
        return self._get("actions", limit=limit)

    def stats(self) -> Any:
        """What has happened, and how many tasks are where."""
        return self._get("stats")

    def history(self, range: Literal["5m", "1h", "24h", "7d"] = "1h") -> Any:
        """What happened lately, by slot and type, with percentiles of run times."""
        return self._get("history", range=range)

    def forget(self, type: str) -> Any:
        """Deletes what is kept of the completed tasks of a type for its `history=`."""
        return self._send("DELETE", f"history/{_part(type)}")

    # -- requests ----------------------------------------------------------------------------------------------------

    def _get(self, path: str, **query: Any) -> Any:
        return self._send("GET", path + _query(**query))

    def _post(self, path: str, **body: Any) -> Any:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        said = None if body is None else {name: value for name, value in body.items() if value is not None}
        key = uuid.uuid4().hex if method == "POST" else None
        return _told(self._ask(method, f"/api/v1/{path}", said or None, DONE, 0.0, key=key))


def _told(answer: Answer | Awaitable[Answer]) -> Any:
    """What an answer holds, now or when it is awaited."""
    return answer[1] if isinstance(answer, tuple) else _awaited(answer)


async def _awaited(answer: Awaitable[Answer]) -> Any:
    return (await answer)[1]


def _part(name: str) -> str:
    return quote(name, safe="")


def _query(**said: Any) -> str:
    given = {name: value for name, value in said.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""
