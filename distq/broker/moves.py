"""What waits is given another time or priority: what is wanted, the verb, and what its words mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from distq.broker.scripts import Argument, Reply, readable, script
from distq.broker.verbs import Command
from distq.clock import eta_ms
from distq.durations import seconds
from distq.errors import ConfigurationError, DistqError, NotWaiting, UnknownTask
from distq.message import priority_number

DONE = frozenset({"rescheduled", "moved"})

REASONS = {
    "running": "it runs already",
    "ended": "it has ended",
    "unknown": "no such task is known",
    "expires": "it would expire before that",
    "ordered": "tasks of its type run in order, and share one priority",
    "taken": "the other queue has a task of that id",
    "bound": "its limits, order or name hold for its own queue only",
    "remembers": "what it has done so far is kept in its queue",
    "suspect": "it was in a process that died, keeps its place among those that run, and is about to run alone",
}
"""Why a task was left as it is, by the words of the script."""


@dataclass(frozen=True)
class Change:
    """What is to become of tasks that wait."""

    how: str = ""
    """ "delay" or "due"; "": their time stays."""
    ms: int = 0
    priority: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.how and self.priority is None

    @property
    def arguments(self) -> tuple[Argument, Argument, Argument]:
        """As the scripts take it."""
        return self.how, self.ms, "" if self.priority is None else self.priority


def change(delay: Any = None, eta: Any = None, priority: Any = None, queue: Any = None) -> Change:
    """The checked form of what `Handle.reschedule` is told. Raises ConfigurationError."""
    if delay is not None and eta is not None:
        raise ConfigurationError("delay= and eta= say the same thing twice: give one of them")
    how, ms = "", 0
    if delay is not None:
        how, ms = "delay", round(seconds(delay, "delay") * 1000)
    elif eta is not None:
        how, ms = "due", eta_ms(eta)
    found = Change(how, ms, None if priority is None else priority_number(priority))
    if found.is_empty and queue is None:
        raise ConfigurationError("say what is to change: delay=, eta=, priority= or queue=")
    return found


def reschedule(prefix: str, ids: Sequence[str], change: Change, token: str = "") -> Command[list[str]]:
    """Per id "rescheduled", or a word of REASONS. A few hundred at most: each is looked at. `token`: that of a call
    that is made again."""
    verb = script("reschedule")
    call = verb.command(prefix.encode(), token or os.urandom(8).hex(), *change.arguments, *ids)
    return Command(verb, call, words)


def words(reply: Reply) -> list[str]:
    """What became of each task of a call; of a single one the script may answer the word alone."""
    return [word.decode() for word in (reply if isinstance(reply, list) else [reply])]


def check(id: str, word: str) -> None:
    """Raises what the word for this task means, if it was left as it is."""
    if word not in DONE:
        raise refusal(id, word)


def refusal(id: str, word: str) -> DistqError:
    """The error of a word."""
    reason = f"task {id} is not rescheduled: {REASONS.get(word, word)}"
    if word == "unknown":
        return UnknownTask(f"no task {id} is known: it never was, or what was kept of it is over", id=id)
    return ConfigurationError(reason) if word in ("expires", "ordered", "taken", "bound") else NotWaiting(reason, id=id)


# -- many ------------------------------------------------------------------------------------------------------------


class Hit(NamedTuple):
    """A live task that a filter means; for people."""

    id: str
    state: str
    type: str
    priority: str
    attempt: int
    """How many have ended."""
    created_ms: int
    due_ms: int
    error: str
    """Class and message of the last one."""


class Page(NamedTuple):
    """Some of the live tasks of a queue."""

    cursor: str
    now_ms: int
    looked: int
    hits: list[Hit]
    messages: list[bytes]
    """Of these, if the conditions have asked for their calls."""


def sift(prefix: str, cursor: str, conditions: Mapping[str, Any]) -> Command[Page]:
    """A page of the live tasks that meet conditions (`distq.filters`), and the cursor of the next ("0": none)."""
    verb = script("sift")
    packed = msgpack.packb(dict(conditions), use_bin_type=False)
    return Command(verb, verb.command(prefix.encode(), cursor, packed), _page)


def _page(reply: Reply) -> Page:
    cursor, now_ms, looked, *fields = reply
    width = len(Hit._fields) + 1
    rows = [fields[start : start + width] for start in range(0, len(fields), width)]
    return Page(readable(cursor), now_ms, looked, [_hit(*row[:-1]) for row in rows], [row[-1] for row in rows])


def _hit(id: bytes, state: bytes, type: bytes, level: bytes, attempt: int, created: int, due: int, error: bytes) -> Hit:
    return Hit(readable(id), readable(state), readable(type), readable(level), attempt, created, due, readable(error))


def cancel(prefix: str, ids: Sequence[str], who: str, mode: str = "") -> Command[list[str]]:
    """`verbs.cancel` for several; each is looked for among what workers hold, so not for very many."""
    verb = script("cancel")
    return Command(verb, verb.command(prefix.encode(), ids[0], who, mode, os.urandom(8).hex(), *ids[1:]), words)
