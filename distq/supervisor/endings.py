"""A task whose process its supervisor ends for it: what becomes of it, and what is kept of that."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgpack

from distq.broker.verbs import Held
from distq.broker.verdicts import Verdicts, verdict
from distq.durations import format_duration
from distq.message import family
from distq.middleware.logging import ended, logger
from distq.outcome import TimeLimit, Verdict, record
from distq.supervisor import autopsy
from distq.supervisor.service import Site
from distq.worker.board import Slot
from distq.worker.meters import Meters
from distq.worker.notes import last_lines
from distq.worker.seen import Ran


class Note(NamedTuple):
    """What the child has noted when it began the task: by then its retry policy was asked."""

    word: str
    delay_ms: int
    type: str
    """As it travels."""
    name: str
    attempt: int
    limit_s: float
    correlation_id: str


class End(NamedTuple):
    """The run in this seat that has begun then is why the process is ended. One that was cancelled goes back, and ends
    with that (lua/parts/settle.lua)."""

    seat: int
    since_ns: int
    is_cancelled: bool = False


def is_charged_apart(place: Slot, ends: list[End]) -> bool:
    """Whether its supervisor has ended the process for single tasks: then what ran beside them goes back as it is. Of a
    batch nobody knows which task was at fault: it counts as a process that has died, and each runs again alone."""
    of_batches = {End(one.seat, one.since_ns) for one in place.ran() if one.in_batch > 1}
    return bool(ends) and of_batches.isdisjoint(ends)


def settled(place: Slot, ends: list[End], held: dict[int, Held], site: Site, dump: int) -> None:
    """Changes what a process leaves: what it was ended for has had its attempt. If that was done before, it
    is as it is. `dump`: the file in which it has written where it was."""
    for one in place.ran():
        part = held.get(one.queue)
        if End(one.seat, one.since_ns, True) in ends:
            seconds = (time.monotonic_ns() - one.since_ns) / 1e9
            fields = ended(_which(place, one, site), "cancelled", seconds, None, None)
            logger.info("%s: cancelled, its process is ended", _id(one), extra=fields)
        if one.in_batch > 1 or part is None:
            continue
        if End(one.seat, one.since_ns) in ends and one.entry in part.started:
            made = _verdict(place, one, site, dump)
            started = [entry for entry in part.started if entry != one.entry]
            held[one.queue] = part._replace(
                started=started, verdicts=Verdicts(part.verdicts.number + 1, part.verdicts.items + made)
            )


def _verdict(place: Slot, one: Ran, site: Site, dump: int) -> bytes:
    thread, raw = place.bounds.note(one.seat)
    note = Note(*msgpack.unpackb(raw))
    seconds, limit = (time.monotonic_ns() - one.since_ns) / 1e9, f"time limit of {format_duration(note.limit_s)}"
    retries = note.word == "retry"
    delay = f"retry in {note.delay_ms / 1000:.3g} s" if retries else "dead"
    which = _which(place, one, site, note)
    logger.error(
        "%s %s %s, its process is ended: %s", note.name, _id(one), limit, delay,
        extra=ended(which, "retry" if retries else "dead", seconds, None, limit),
    )  # fmt: skip
    if note.name in site.names:
        Meters(place, site.names)(note.name)("retry" if retries else "failed", seconds)
    becomes = Verdict("retry" if retries else "bury", note.delay_ms, TimeLimit(limit))
    kept = record(
        becomes,
        attempt=note.attempt, at_ms=int(time.time() * 1000), seconds=seconds, worker=place.name,
        log=last_lines(one.log),
    )  # fmt: skip
    stack = autopsy.stack_of(dump, thread)
    kept["traceback"] = f"{stack}\n{kept['traceback']}".strip()
    return verdict(one.entry, becomes.word.encode(), note.type.encode(), note.delay_ms, msgpack.packb(kept))


def _which(place: Slot, one: Ran, site: Site, note: Note | None = None) -> dict[str, Any]:
    """As far as it is known: see `distq.middleware.logging.which`."""
    return {
        "task_id": _id(one),
        "type": note and note.name,
        "queue": family(site.queues[one.queue]),
        "attempt": note and note.attempt,
        "worker": place.name,
        "correlation_id": note and note.correlation_id,
    }


def _id(one: Ran) -> str:
    return one.entry.partition(b" ")[0].decode("utf-8", "replace")
