"""Which tasks a search means: by type, arguments, last error and age."""

from __future__ import annotations

import time

from fastapi import Query, Request

from distq.broker.search import Found, Place
from distq.durations import seconds
from distq.message import MAX_ID, MAX_NAME, untyped
from distq.server.problems import Problem
from distq.server.site import Site, site_of
from distq.sought import Sought

Type = Query("", max_length=MAX_NAME)
MOST_ARGUMENTS = 10
Arguments = Query([], max_length=MOST_ARGUMENTS, description="Arguments, each as name:value, such as user_id:42.")
Error = Query("", max_length=200, description="Part of the error's class or message, in any letter case; or =Class.")
Frame = Query("", max_length=400, description="Where the error was raised, such as shop/mail.py:12 in send.")
Since = Query("", max_length=20, description="Called, or if dead died, so long ago at most: 10s, 5m, 2d.")
Parent = Query("", max_length=MAX_ID, description="The id of the task that has enqueued it.")
OlderThan = Query("", max_length=20, description="The same, at least.")


class Meant:
    """Which tasks: by type; by arguments and parent; by the last error; by their age."""

    def __init__(self, sought: Sought, type: str, error: str, frame: str) -> None:
        self._sought, self._type, self._error, self._frame = sought, type, error, frame
        self.oldest_ms, self.newest_ms = 0.0, float("inf")

    @property
    def needs_causes(self) -> bool:
        """Whether it looks at their last errors."""
        return bool(self._error or self._frame)

    def may_be_in(self, place: Place) -> bool:
        """Whether it is worth while to look there."""
        return not self._type or place.name != "DONE_AT" or untyped(place.suffix)[0] == self._type

    def __call__(self, task: Found) -> bool:
        """Whether this is one."""
        if task.message is None:
            is_of_type = not self._type or untyped(task.type)[0] == self._type
            return is_of_type and not (self._sought or self.needs_causes) and self._is_of_time(task.at_ms)
        at_ms = task.at_ms if task.state in ("dead", "completed") else task.message.created_ms
        type = untyped(task.message.type)[0]
        return (
            (not self._type or type == self._type)
            and self._is_of_time(at_ms)
            and (not self.needs_causes or (task.cause is not None and task.cause.matches(self._error, self._frame)))
            and (not self._sought or self._sought(task.message))
        )

    def _is_of_time(self, at_ms: float | None) -> bool:
        return self.oldest_ms <= (0.0 if at_ms is None else at_ms) <= self.newest_ms


def meant(
    request: Request,
    type: str = Type,
    args: list[str] = Arguments,
    error: str = Error,
    frame: str = Frame,
    parent: str = Parent,
    since: str = Since,
    older_than: str = OlderThan,
) -> Meant:
    """That of a request."""
    found, now_ms = Meant(sought(site_of(request), args, parent), type, error, frame), time.time() * 1000
    if since:
        found.oldest_ms = now_ms - seconds(since, "since") * 1000
    if older_than:
        found.newest_ms = now_ms - seconds(older_than, "older_than") * 1000
    return found


def sought(site: Site, args: list[str], parent: str) -> Sought:
    """By its arguments and parent alone."""
    return Sought(site.app, [_named(one) for one in args], parent, site.shown_call)


def _named(said: str) -> tuple[str, str]:
    name, colon, value = said.partition(":")
    if not name or not colon:
        raise Problem(400, "give arguments as name:value, such as user_id:42", field="args")
    return name, value
