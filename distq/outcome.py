"""What user code did, and what we therefore do. Pure: `decide` is a table, tested without a broker.

A handler returns, raises, or raises a directive:

    raise Retry(delay=5)      again later; counts as an attempt and is bounded by `retries`
    raise Reject("why")       to the dead letters at once
    raise Snooze(60)          again later; costs no attempt
    raise RateLimited(60, budget=openai)
                              the same, and nobody takes from that budget before

Another one, `Interrupted`, is raised by distq itself inside of a resumable task. So is `SoftTimeLimit`, in a handler
whose time is over; it is an error like any other.

The retry policy is a middleware: it turns an error into `Retry` while attempts are left. Without it every error is
final. So the engine knows no policy, only this table.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, TypeGuard, TypeVar

from distq.amounts import HasTerms
from distq.durations import seconds

VerdictWord = Literal["complete", "retry", "snooze", "bury", "release", "park"]

T = TypeVar("T")

_HERE = os.path.dirname(__file__) + os.sep
_FRAMES: Any = BaseException.__dict__["__traceback__"]

MAX_TYPE = 200
MAX_MESSAGE = 2_000
MAX_TRACEBACK = 16_000
MAX_DELAY_S = 366 * 86400


class Directive(BaseException):
    """Base of what a handler raises to say what should happen. No error: `except Exception` lets it pass."""


class Retry(Directive):
    """Run this task again after `delay` (seconds, timedelta or "5m"; None: as its backoff says)."""

    def __init__(self, reason: str = "", *, delay: float | timedelta | str | None = None) -> None:
        super().__init__(reason)
        self.reason = str(reason)
        self.delay_s = None if delay is None else min(seconds(delay, "delay"), MAX_DELAY_S)


class Reject(Directive):
    """This task cannot be done: into the dead letters at once, with the reason."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = str(reason)


class Snooze(Directive):
    """Not now: run this task again after `delay` (seconds, timedelta or "5m"). Costs no attempt."""

    _what = "delay"

    def __init__(self, delay: float | timedelta | str) -> None:
        super().__init__(delay)
        self.delay_s = min(seconds(delay, self._what), MAX_DELAY_S)


class RateLimited(Snooze):
    """Whoever is called says that it was too much: nobody takes from the budget before `retry_after` is over (seconds,
    timedelta or "5m"), and then this task runs again. Costs no attempt.

    Of a budget with keys it is about the key of this task; `key` says another.
    """

    _what = "retry_after"

    def __init__(self, retry_after: float | timedelta | str, *, budget: HasTerms, key: object = None) -> None:
        super().__init__(retry_after)
        self.terms = budget.terms
        self.key = key


class Interrupted(Directive):
    """Raised by distq, between two steps or rows of a resumable task whose worker ends, or has lost it. The task goes
    back in front, at no cost, and another worker goes on. Let it pass."""


class Cancelled(Directive):
    """Raised by distq in a handler whose task was cancelled with `running=True`. In an `async def` handler it arrives
    as `asyncio.CancelledError`. Let it pass."""


class TimeLimit(BaseException):
    """The time of an attempt was over: its process was ended (`time_limit=`), so no handler ever sees this. Name it in
    `retry_rules`."""


class SoftTimeLimit(TimeLimit):
    """Raised in a handler whose `soft_time_limit=` is over. `except Exception` lets it pass. In an `async def` handler
    it arrives as `asyncio.CancelledError`, and becomes this one behind it."""

    def __init__(self, text: str = "its soft time limit is over") -> None:
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a task after an attempt."""

    word: VerdictWord
    delay_ms: int = 0
    error: BaseException | None = None
    """The error to record; for a directive raised because of an error, that error."""
    reason: str = ""
    limited: RateLimited | None = None
    """What parks a budget."""


def decide(error: BaseException) -> Verdict:
    """The verdict on an attempt that ended with an exception. One that breaks whoever looks at it is final."""
    try:
        return _decide(error)
    except BaseException as broken:
        return Verdict("bury", 0, broken)


def _decide(error: BaseException) -> Verdict:
    if is_a(error, Retry):
        return Verdict("retry", round((error.delay_s or 0) * 1000), error.__cause__ or error, error.reason)
    if is_a(error, Snooze):
        return Verdict("snooze", round(error.delay_s * 1000), limited=error if is_a(error, RateLimited) else None)
    if is_a(error, Interrupted) or is_a(error, Cancelled):
        return Verdict("release")
    if is_a(error, Reject):
        return Verdict("bury", 0, error.__cause__ or error, error.reason)
    return Verdict("bury", 0, error)


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """`isinstance` by the type alone: that asks the value too, and what comes from a handler may lie, or raise."""
    return issubclass(type(value), kind)


def record(
    verdict: Verdict, *, attempt: int, at_ms: int, seconds: float, worker: str, log: str = ""
) -> dict[str, object]:
    """What is kept of an ended attempt: plain, bounded data for `attempts:<id>` and for the dead letters. `log`: the
    last lines that it has logged."""
    error = verdict.error
    name = "" if error is None else clip(_name(type(error)), MAX_TYPE)
    logged = {"log": log} if log else {}
    return {
        "outcome": _outcome(error),
        "type": name,
        "message": clip(shown(verdict.reason) or shown(error), MAX_MESSAGE),
        "traceback": _traceback(error),
        "attempt": attempt,
        "at": at_ms,
        "seconds": round(seconds, 6),
        "worker": worker,
        "retry_in_ms": verdict.delay_ms if verdict.word == "retry" else None,
        **logged,
    }


def _outcome(error: BaseException | None) -> str:
    if is_a(error, Reject):
        return "rejected"
    return "time limit" if type(error) is TimeLimit else "raised"


def clip(text: str, most: int) -> str:
    """At most `most` characters, cut in the middle: the ends of a traceback tell most. Surrogates are replaced."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= most:
        return text
    half = (most - 50) // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _name(cls: type) -> str:
    """What it is called, whatever its metaclass says."""
    try:
        module, name = str(cls.__module__), str(cls.__qualname__)
    except BaseException:
        module, name = "builtins", type.__dict__["__name__"].__get__(cls)
    return name if module in ("builtins", "distq.outcome") else f"{module}.{name}"


def shown(value: object) -> str:
    """str(value), whatever its `__str__` does."""
    try:
        return "" if value is None else str.__str__(str(value))  # of plain str: its class may have methods of its own
    except BaseException as broken:
        return f"(its message cannot be shown: {_name(type(broken))})"


def _traceback(error: BaseException | None) -> str:
    frames = None if error is None else _FRAMES.__get__(error)
    if error is None or frames is None:
        return ""
    frames = _from_handler(frames)
    try:
        lines = traceback.format_exception(type(error), error, frames, limit=50)
    except BaseException:
        lines = traceback.format_tb(frames, limit=50)
    return clip("".join(lines), MAX_TRACEBACK)


def _from_handler(frames: TracebackType) -> TracebackType:
    """Without the frames of distq around the handler; if there are no others, the last one."""
    while frames.tb_next is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    return frames
