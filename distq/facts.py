"""What is known of an application's queues, tasks and dead letters, as plain data: what all doors show.

It reads through the broker's connections for synchronous callers. What comes out is untrusted data.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from distq.broker import completed, inspect, verbs
from distq.broker.causes import cause_of
from distq.broker.inspect import DeadFilter, DeadLetter, Means, whole
from distq.broker.ledger import total_depths
from distq.broker.verbs import Depths, Look
from distq.context import CORRELATION, PARENT, id_in
from distq.errors import UnknownQueue, did_you_mean
from distq.message import Message, check_id, family, parse, partitions, untyped
from distq.plain import plain
from distq.result import Handle
from distq.sensitive import Hiding, hiding
from distq.timeline import timeline

if TYPE_CHECKING:
    from distq.app import Distq
    from distq.task import Task

# -- queues -----------------------------------------------------------------------------------------------------------


def places(found: Distq, queue: str | None = None) -> dict[str, list[str]]:
    """The queues that are declared or known, each with its partitions; or a given one, which may be a partition. Raises
    UnknownQueue."""
    every = _grouped(found, found.broker.known_queues())
    if queue is None:
        return every
    if queue in every:
        return {queue: every[queue]}
    if queue in every.get(family(queue), ()):
        return {queue: [queue]}
    raise UnknownQueue(f"no queue {queue!r:.80}{did_you_mean(queue, every)}; there are: {', '.join(every)}")


async def aplaces(found: Distq) -> dict[str, list[str]]:
    """All queues with their partitions, for asyncio."""
    return _grouped(found, await found.async_broker.known_queues())


def _grouped(found: Distq, known: Iterable[str]) -> dict[str, list[str]]:
    declared = [name for each in found.queues for name in partitions(each, found.partitions.get(each, 1))]
    every: dict[str, list[str]] = {}
    for name in dict.fromkeys([*declared, *known]):
        every.setdefault(family(name), []).append(name)
    return every


def every_place(found: Distq, queue: str | None = None) -> list[str]:
    """The same without the names that people have for them."""
    return [name for names in places(found, queue).values() for name in names]


def depths(found: Distq, names: Iterable[str]) -> Depths:
    """How many tasks are where, in all these queues or partitions together."""
    return total_depths([found.broker.run(verbs.depths(found.broker.prefix(name))) for name in names])


# -- one task ---------------------------------------------------------------------------------------------------------


def describe(found: Distq, id: str) -> dict[str, Any]:
    """Everything about one task, as plain data."""
    handle = found.result(id)
    queue, look = found.broker.find(id, found.queues_of(id))
    facts: dict[str, Any] = {"id": id, "status": handle.status(), "queue": queue, CORRELATION: id}
    facts |= _of_message(found, look)
    if look.due_ms:
        facts["due_at_ms"] = look.due_ms
    if look.worker:
        facts["worker"] = look.worker
    facts |= _of_progress(handle)
    facts |= _of_ending(found, look)
    if facts["status"] in ("completed", "unknown"):
        facts |= _of_history(found, queue, id)
    facts["attempts"] = inspect.attempts(found.broker, queue, id)
    if facts["status"] != "unknown":
        facts["timeline"] = timeline(facts)
    return facts


def _of_message(found: Distq, look: Look) -> dict[str, Any]:
    if look.message is None:
        return {}
    try:
        message = parse(look.message)
        args, kwargs, headers = found.codec.unpack_call(message.body)
    except ValueError as error:
        return {"corrupt": str(error)}
    return inspect.describe(message) | shown_call(found, message.type, args, kwargs, headers) | _origin(headers)


def declared(found: Distq, type: str) -> Task[Any, Any, Any] | None:
    """The task that takes calls of this type and version: by place, those of another one may mean something else."""
    name, version = untyped(type)
    task = found.tasks.get(name)
    return task if task is not None and task.declaration.version == version else None


def hiding_of(found: Distq, type: str, number: int, headers: object, more: Iterable[str] = ()) -> Hiding:
    """What is not to be shown of a call of this type with so many positional arguments. `more`: further names."""
    return hiding((*found.sensitive, *more), headers, declared(found, type), number)


def shown_call(
    found: Distq, type: str, args: Sequence[Any], kwargs: Mapping[str, Any], headers: object = None,
    more: Iterable[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Arguments and headers of a call in what JSON knows, without what is not to be shown."""
    hidden = hiding_of(found, type, len(args), headers, more)
    call = {"args": hidden.args(plain(list(args))), "kwargs": hidden.shown(plain(dict(kwargs)))}
    return call if headers is None else call | {"headers": hidden.shown(plain(headers))}


def _origin(said: object) -> dict[str, str]:
    """Where it comes from, if it was enqueued in a task, or its caller has said so."""
    headers = said if isinstance(said, dict) else {}
    return {name: id for name in (CORRELATION, PARENT) if (id := id_in(headers, name)) is not None}


def _of_history(found: Distq, queue: str, id: str) -> dict[str, Any]:
    """Of a completed task what its type's history keeps, also when its result is gone; else what the last ones tell."""
    kept = completed.find(found.broker, queue, id)
    if kept is None:
        last = next((one for one in completed.last(found.broker, queue) if one.id == id and one.type), None)
        return {} if last is None else {"type": last.type, "worker": last.worker}
    facts = inspect.describe(kept.message) | {
        "status": "completed", "worker": kept.worker, "finished_at_ms": kept.finished_ms, "ran_s": kept.seconds,
    }  # fmt: skip
    try:
        args, kwargs, headers = found.codec.unpack_call(kept.message.body)
    except ValueError:  # they were too large to be kept
        return facts
    return facts | shown_call(found, kept.message.type, args, kwargs, headers)


def _of_progress(handle: Handle[Any]) -> dict[str, Any]:
    said = handle.progress()
    if said is None:
        return {}
    return {"progress": {**said._asdict(), "at": whole(said.at.timestamp() * 1000)}}


def _of_ending(found: Distq, look: Look) -> dict[str, Any]:
    """The result of a completed task; how else it ended."""
    if look.result is None:
        return {}
    try:
        word, *rest = found.codec.unpack(look.result)
    except (ValueError, TypeError) as error:
        return {"corrupt": str(error)}
    if word == "completed":
        return {"result": rest[0] if rest else None, **_times(*rest[1:3]), **_origin(rest[3] if rest[3:] else None)}
    details = rest[0] if rest and isinstance(rest[0], dict) else {}
    if word == "dead":
        return {"error": {key: details.get(key) for key in ("type", "message", "traceback")}}
    ended = {"ended_at_ms": whole(details["at"])} if "at" in details else {}
    return ended | ({"by": details["by"]} if "by" in details else {})


def _times(finished_ms: object = None, created_ms: object = None) -> dict[str, Any]:
    """When a task has ended, and how long after its call: by two clocks, so it may seem to be before."""
    if not (isinstance(finished_ms, float | int) and isinstance(created_ms, float | int)):
        return {}
    took = max(0.0, round((finished_ms - created_ms) / 1000, 6))
    return {"enqueued_at_ms": whole(created_ms), "finished_at_ms": finished_ms, "seconds": took}


# -- dead letters -----------------------------------------------------------------------------------------------------


def newest_first(
    found: Distq, wanted: DeadFilter, queue: str | None = None, means: Means | None = None
) -> Iterator[DeadLetter]:
    """Of all queues together, or of one, read only as far as somebody asks."""
    each = [inspect.dead_letters(found.broker, name, wanted, means) for name in every_place(found, queue)]
    return heapq.merge(*each, key=lambda letter: -letter.died_at_ms)


@dataclass
class DeadGroup:
    """Dead letters of one type and one cause: class of the error, and where it was raised."""

    newest: DeadLetter
    number: int = 0
    oldest_at_ms: int = 0


def dead_groups(found: Distq, most: int, queue: str | None = None) -> tuple[list[DeadGroup], bool]:
    """Of what so many of the newest have died, the largest group first; and whether these are all that there are."""
    letters = list(islice(newest_first(found, DeadFilter(), queue), most + 1))
    groups: dict[tuple[str, str, str], DeadGroup] = {}
    for letter in letters[:most]:
        group = groups.setdefault((letter.type, letter.error, letter.frame), DeadGroup(letter))
        group.number, group.oldest_at_ms = group.number + 1, letter.died_at_ms
    return sorted(groups.values(), key=lambda group: -group.number), len(letters) <= most


def find_dead(found: Distq, wanted: DeadFilter) -> list[DeadLetter]:
    """All that a filter means. By ids alone it is found without reading the others."""
    if wanted.ids and wanted == DeadFilter(wanted.ids):
        return [letter for id in sorted(wanted.ids) for letter in dead_by_id(found, id)]
    letters = {(letter.queue, letter.id): letter for letter in newest_first(found, wanted)}
    return list(letters.values())


def replay_dead(found: Distq, letters: Iterable[DeadLetter], every_ms: float = 0) -> int:
    """Runs them again; answers how many. `every_ms`: one after the other, queue after queue."""
    count = 0
    for queue, ids in _by_queue(letters).items():
        count += inspect.replay(found.broker, queue, ids, every_ms, count * every_ms)
    return count


def purge_dead(found: Distq, letters: Iterable[DeadLetter]) -> int:
    """Deletes them for good; answers how many."""
    return sum(inspect.purge_dead(found.broker, queue, ids) for queue, ids in _by_queue(letters).items())


def _by_queue(letters: Iterable[DeadLetter]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for letter in letters:
        groups.setdefault(letter.queue, []).append(letter.id)
    return groups


def dead_by_id(found: Distq, id: str) -> Iterator[DeadLetter]:
    """A dead letter in whichever queue has it, without a look at all the others."""
    for queue in dict.fromkeys(found.queues_of(check_id(id))):
        look = found.broker.run(verbs.look(found.broker.prefix(queue), id))
        if look.message is None or look.state not in ("dead", "ended"):
            continue
        message = _parsed(look.message)
        last = (inspect.attempts(found.broker, queue, id) or [{}])[-1]
        cause = cause_of(last)
        yield DeadLetter(
            id, queue, message.type, cause.error, cause.message, message.attempt + 1, inspect.whole(last.get("at")),
            inspect.whole(message.created_ms), cause.frame,
        )  # fmt: skip


def _parsed(raw: bytes) -> Message:
    """The message, or one that says that it is none."""
    try:
        return parse(raw)
    except ValueError:
        return Message(0, 0, 0, 0, 0, 0, 1, 0, "(corrupt)", b"")
