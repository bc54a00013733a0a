"""The ledger: its two verbs, and the equation that holds at every instant, for a queue and for each of its types.

    enqueued + replayed + arrived + corrected
        = completed + dead + cancelled + expired + moved + waiting + scheduled + running

What each event is: distq.states.EVENTS. The ledger holds a limited number of types; further ones count as OTHER.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distq.broker.scripts import Reply, script
from distq.broker.verbs import Command, Depths
from distq.states import EVENTS

OTHER = "(other)"
SIDES = {event.name: event.side for event in EVENTS if event.side}
"""Event -> 1 if a life begins with it, -1 if one ends."""


class Tally(NamedTuple):
    """What is in a queue and what has happened in it, at one instant."""

    depths: Depths
    counts: dict[str, int]
    """ "event type" -> how often, since the queue was made."""


def tally(prefix: str) -> Command[Tally]:
    """How many tasks are in each state, and how many ever came and ended."""
    verb = script("tally")
    return Command(verb, verb.command(prefix.encode()), read_tally)


def read_tally(reply: Reply) -> Tally:
    """What `tally` answers."""
    depths, words = reply
    pairs = zip(words[::2], words[1::2], strict=True)
    return Tally(Depths(*depths), {field.decode("utf-8", "replace"): _count(number) for field, number in pairs})


def _count(raw: bytes) -> int:
    """0 for what no script has written."""
    return int(raw) if re.fullmatch(rb"-?\d{1,18}", raw) else 0


def correct(prefix: str, types: Sequence[tuple[str, int, int]] = ()) -> Command[list[int]]:
    """Makes the equation hold: per type (its name, alive by its counts, to book), then the rest as of others. Answers
    how many were booked for types, and for others."""
    verb = script("correct")
    items = [item for pair in SIDES.items() for item in pair] + [item for type in types for item in type]
    return Command(verb, verb.command(prefix.encode(), len(SIDES), *items), list)


def total(tallies: Sequence[Tally]) -> Tally:
    """Of the partitions of a queue together."""
    counts: Counter[str] = Counter()
    for each in tallies:
        counts.update(each.counts)
    return Tally(total_depths([each.depths for each in tallies]), dict(counts))


def total_depths(depths: Sequence[Depths]) -> Depths:
    """The same for depths. Workers are counted once: who serves a queue serves all its partitions."""
    most = max(each.workers for each in depths)
    return Depths._make([*map(sum, zip(*depths, strict=True))])._replace(workers=most)


def by_type(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Type -> event -> how often."""
    types: dict[str, dict[str, int]] = {}
    for field, number in counts.items():
        event, _, type = field.partition(" ")
        types.setdefault(type, {})[event] = number
    return types


def totals(counts: Mapping[str, int]) -> dict[str, int]:
    """Event -> how often, of all types together."""
    found = {event.name: 0 for event in EVENTS}
    for field, number in counts.items():
        event = field.partition(" ")[0]
        found[event] = found.get(event, 0) + number
    return found


def alive(events: Mapping[str, int]) -> int:
    """How many tasks must be alive, by what has happened: what came less what ended."""
    return sum(SIDES.get(event, 0) * number for event, number in events.items())


def waiting(depths: Depths) -> int:
    """How many are ready, at any priority."""
    return depths.high + depths.default + depths.low


def placed(depths: Depths) -> int:
    """How many tasks are where a task can be."""
    return waiting(depths) + depths.scheduled + depths.running


def difference(tally: Tally) -> int:
    """How many tasks are missing (below 0: too many are there), by the ledger. In balance: 0."""
    return alive(totals(tally.counts)) - tally.depths.live


def alive_by_type(counts: Mapping[str, int], found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """For each type, and OTHER: how many are alive by the ledger, and how many by what was found alive."""
    known = by_type(counts)
    types = {type: [alive(events), 0] for type, events in known.items()}
    for type, number in found.items():
        types.setdefault(type if type in known else OTHER, [0, 0])[1] += number
    return {type: (counted, there) for type, (counted, there) in types.items()}
