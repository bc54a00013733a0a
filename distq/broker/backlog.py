"""What of a queue could run, by type: for metrics, and for who decides how many workers there are to be.

The ledger says how many tasks of a type are alive. What of these is scheduled, or waits for a limit, is taken off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from distq.broker.ledger import Tally, alive, by_type, read_tally, total, waiting
from distq.broker.scripts import Reply, readable
from distq.broker.together import several
from distq.broker.verbs import Command
from distq.message import family, type_of_lane, untyped

AT_ONCE = 4
"""Queues in one call: each takes the server up to a millisecond, or two."""


class Backlog(NamedTuple):
    """A queue at one instant."""

    tally: Tally
    ready: int
    """Of what waits: could run."""
    limited: int
    """Of what waits: waits for a limit, its turn, or the end of a pause."""
    age_ms: int
    """How long what is next has waited."""
    overdue_ms: int
    """Since when something is due that has not become ready, or been fired."""
    work: dict[str, float]
    """By type how many could run, or do: an estimate where much is scheduled."""


def backlogs(prefixes: Sequence[str]) -> Command[list[Backlog | None]]:
    """What is there in each of these queues, and what of it could run; None where keys are of the wrong kind."""
    return several("backlog", prefixes, _parse)


def by_queue(names: Iterable[str], found: Iterable[Backlog | None]) -> dict[str, Backlog]:
    """What was found under these names: partitions are one, and what is broken is left out."""
    queues: dict[str, list[Backlog]] = {}
    for name, its in zip(names, found, strict=True):
        if its is not None:
            queues.setdefault(family(name), []).append(its)
    return {queue: together(some) for queue, some in queues.items()}


def together(queues: Sequence[Backlog]) -> Backlog:
    """Several queues, or the partitions of one, as one."""
    work: dict[str, float] = {}
    for each in queues:
        for type, number in each.work.items():
            work[type] = work.get(type, 0) + number
    tallies, ready, limited, ages, overdue, _ = zip(*queues, strict=True)
    return Backlog(total(tallies), sum(ready), sum(limited), max(ages), max(overdue), work)


def _parse(reply: Reply) -> Backlog:
    counted, (is_paused, age_ms, overdue_ms), lanes, which, pairs = reply
    tally = read_tally(counted)
    depths, found, living = tally.depths, _by_name(pairs[::2], pairs[1::2]), _living(tally)
    in_lanes, open = _by_name(lanes[::3], lanes[1::3]), _by_name(lanes[::3], lanes[2::3])
    listed = max(0, waiting(depths) - depths.in_lanes)
    limited = in_lanes.total() - open.total()
    if is_paused:
        listed, limited, open = 0, waiting(depths), Counter()
    if which == b"scheduled":
        scheduled = _shared_out(depths.scheduled, found)
        mix = {type: number - in_lanes[type] - scheduled.get(type, 0) for type, number in living.items()}
    else:
        mix = dict(found or living)
    work = _shared_out(listed + depths.running, mix)
    for type, number in open.items():
        work[type] = work.get(type, 0) + number
    return Backlog(tally, listed + open.total(), limited, age_ms, overdue_ms, work)


def _by_name(types: Sequence[bytes], numbers: Sequence[int]) -> Counter[str]:
    """Names of types and how many there are; by the names of lanes as well."""
    found: Counter[str] = Counter()
    for type, number in zip(types, numbers, strict=True):
        found[type_of_lane(readable(type))] += number
    return found


def _living(tally: Tally) -> Counter[str]:
    found: Counter[str] = Counter()
    for type, events in by_type(tally.counts).items():
        found[untyped(type)[0]] += alive(events)
    return found


def _shared_out(number: int, mix: Mapping[str, float]) -> dict[str, float]:
    """So many, in these proportions."""
    some = {type: part for type, part in mix.items() if part > 0}
    whole = sum(some.values())
    return {type: number * part / whole for type, part in some.items()}
