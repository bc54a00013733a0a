"""Who of a host runs what: processes with threads, and processes with event loops, which `async` tasks have for
themselves.

In a queue that has both kinds of tasks, the `async` ones wait in lanes of their own, from which the loops take; the
threads take what is in no lane. Both say so before they take anything. A queue that has one kind belongs to one kind of
processes, which needs no lanes for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from distq.app import Distq
from distq.broker.scripts import digest
from distq.config import WorkerConfig
from distq.errors import ConfigurationError, did_you_mean
from distq.message import FLOWING, family
from distq.worker.line import Way
from distq.worker.shares import Share

THREADS, LOOPS = range(2)


class Crew(NamedTuple):
    """Processes of one kind."""

    types: list[str]
    """That they announce: the lanes from which they take."""
    digest: str
    ways: list[Way]
    """How they take part in each queue; empty: in all in the same way."""
    is_needed: bool
    """Whether there is something for them."""
    shares: list[Share]
    """Types of which each of them runs only some at a time. They are not among those that it announces."""

    @classmethod
    def read(cls, told: Sequence[Any]) -> Crew:
        """From JSON."""
        types, digest, ways, is_needed, shares = told
        ways = [Way(takes, tuple(apart)) for takes, apart in ways]
        return cls(types, digest, ways, is_needed, list(map(Share.read, shares)))


def crews(app: Distq, queues: Sequence[str], threads: int = 1, coroutines: int = 0) -> list[Crew]:
    """One, or with loops two."""
    declined = {queue: tuple(types_of(app, family(queue), is_declined=True)) for queue in queues}
    if not coroutines:
        ways = [Way(None, declined[queue]) for queue in queues] if app.declined else []
        return [_crew(lanes_of(types_of(app)), ways, True, shares_of(app, threads))]
    both = {queue: _kinds(app, family(queue)) for queue in queues}
    in_threads = [
        Way("nothing") if loops and not plain else Way(None, (*loops, *declined[queue]))
        for queue, (plain, loops) in both.items()
    ]
    in_loops = [
        Way("nothing") if not loops else Way("lanes", tuple(loops)) if plain else Way("sound", declined[queue])
        for queue, (plain, loops) in both.items()
    ]
    plain, apart = (lanes_of(types_of(app, is_async=is_async)) for is_async in (False, True))
    return [
        _crew(plain, in_threads, _has_any(in_threads), shares_of(app, threads, is_async=False)),
        _crew(apart, in_loops, _has_any(in_loops), shares_of(app, coroutines, is_async=True)),
    ]


def _crew(types: Sequence[str], ways: list[Way], is_needed: bool, shares: list[Share]) -> Crew:
    shared = {lane for share in shares for lane in share.lanes}
    rest = [type for type in types if type not in shared]
    return Crew(rest, digest_of(rest), ways, is_needed, shares)


def _has_any(ways: Sequence[Way]) -> bool:
    return any(way.takes != "nothing" for way in ways)


def shares_of(app: Distq, seats: int, *, is_async: bool | None = None) -> list[Share]:
    """The types of which a process that has so many seats runs fewer at a time."""
    limited = [
        task.declaration
        for type, task in sorted(app.tasks.items())
        if type not in app.declined and is_async in (None, task.is_async) and 0 < task.declaration.slots < seats
    ]
    lanes = [tuple(lanes_of(sorted(declaration.versions))) for declaration in limited]
    return [Share(digest_of(its), its, of.slots, of.queue) for of, its in zip(limited, lanes, strict=True)]


def ways_in(queues: Sequence[str], declared: Sequence[str], ways: Sequence[Way], other: Way) -> list[Way]:
    """In the queues of a host, which are not just those of its application: it may know more partitions than that
    declares, or serve since its start what fresh code does not declare."""
    known = {family(queue): way for queue, way in zip(declared, ways, strict=True)} if ways else {}
    return [known.get(family(queue), other) for queue in queues] if known else []


def announced(config: WorkerConfig, crews: Sequence[Crew]) -> str:
    """The processes of a host, for the first line of its log."""
    threads = f" of {config.threads} threads" if config.threads > 1 else ""
    parts = [f"{config.processes} processes{threads}"] if crews[THREADS].is_needed else []
    if crews[-1].is_needed and len(crews) > 1:
        parts.append(f"{config.processes} event loops of {config.coroutines} coroutines")
    return ", ".join(parts)


def _kinds(app: Distq, queue: str) -> tuple[list[str], list[str]]:
    """The types of a queue: those for threads, those for loops."""
    return types_of(app, queue, is_async=False), types_of(app, queue, is_async=True)


def types_of(
    app: Distq, queue: str | None = None, *, is_async: bool | None = None, is_declined: bool = False
) -> list[str]:
    """All types in all their versions that this host runs, or that it declines; of one queue, or of one kind."""
    return sorted(
        type
        for task in app.tasks.values()
        for type in task.declaration.versions
        if queue in (None, task.declaration.queue) and is_async in (None, task.is_async)
        if (task.type in app.declined) == is_declined
    )


def lanes_of(types: Sequence[str]) -> list[str]:
    """Those in which their tasks can wait: as the type says alone, or with a flow of their own."""
    return [*types, *(f"v{FLOWING}/{type}" for type in types)]


def declined(app: Distq, config: WorkerConfig) -> frozenset[str]:
    """The types that a host leaves to others: it was told so, or it has not what they need."""
    types, exclude_types, tags = config.types, config.exclude_types, {"", *config.tags}
    for type in (*types, *exclude_types):
        if type not in app.tasks:
            raise ConfigurationError(f"type {type!r} is not declared{did_you_mean(type, app.tasks)}")
    needs = {} if "*" in tags else {type: task.declaration.needs for type, task in app.tasks.items()}
    lacking = {type: tag for type, tag in needs.items() if tag not in tags}
    left = frozenset(types or app.tasks).difference(exclude_types)
    if app.tasks and left <= lacking.keys():
        why = [f"{type} needs --tag {lacking[type]}" for type in sorted(left)] or ["--exclude-types names them all"]
        raise ConfigurationError(f"this host would run no type: {', '.join(why[:3])}{' …' if why[3:] else ''}")
    return frozenset(app.tasks).difference(left) | lacking.keys()


def left_to_others(app: Distq, config: WorkerConfig) -> list[str]:
    """What this host declines, each with what it lacks for it, for the first line of its log."""
    needs = {type: app.tasks[type].declaration.needs for type in sorted(app.declined)}
    return [
        type if tag in ("", *config.tags) or "*" in config.tags else f"{type} (needs {tag})"
        for type, tag in needs.items()
    ]


def useless_tags(app: Distq, config: WorkerConfig) -> list[str]:
    """Tags that no type needs: each is a slip, or what needed it is gone."""
    needed = {task.declaration.needs for task in app.tasks.values()} - {""}
    hint = f"; there are types that need {', '.join(sorted(needed))}" if needed else "; none needs any"
    return [
        f"--tag {tag}: no declared type needs it{did_you_mean(tag, needed) or hint}"
        for tag in config.tags
        if tag not in (*needed, "*")
    ]


def digest_of(types: Sequence[str]) -> str:
    """The name of all who announce these types."""
    return digest("\n".join(types))[:12]
