"""The audit of a queue: does the ledger agree with the keys, and is everything where the scripts leave it?

It works on a queue that is in use, and reads it in small pages, so what it sees is never one picture. Therefore nothing
counts as a stray unless two passes have seen it and a script, which looks at one instant, says so too. It is written as
generators of commands, which whoever runs them sends, so that a supervisor's loop can run such a search, too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distq.broker import inventory, keys, ledger, verbs
from distq.broker.broker import Broker
from distq.broker.ledger import SIDES, Tally
from distq.broker.reading import scan, tail
from distq.broker.scripts import encode, script
from distq.broker.strays import KINDS, MOMENTARY, Stray
from distq.broker.verbs import Command

NO_TALLY = Tally(verbs.Depths(*[0] * len(verbs.Depths._fields)), {})
PAUSE_S = 0.3
"""Between two looks at what moves."""
LOOKS = 4
"""At what may be wrong for a moment, such as a marker that a worker has just taken."""
MOST_CONFIRMED = 1000
"""Strays of one kind that are looked at singly; further ones are counted as two passes have seen them."""
WORK = 200_000
"""List members that one call may look through."""


Search = Generator["Command[Any] | bytes | float", Any, Any]
"""Yields a command, or seconds to wait."""


@dataclass
class Findings:
    """What the audit of one queue has found."""

    queue: str
    tally: Tally
    types: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Types that differ: alive by the ledger, alive by the keys. Only those that did not move meanwhile, or differ by
    more than they moved."""
    exact: frozenset[str] = frozenset()
    """Of these, those that did not move."""
    strays: list[Stray] = field(default_factory=list)
    unconfirmed: Counter[str] = field(default_factory=Counter)
    """Kind -> how many more were seen in two passes."""
    mended: Counter[str] = field(default_factory=Counter)
    booked: int = 0

    @property
    def difference(self) -> int:
        """Tasks that are missing by the ledger."""
        return ledger.difference(self.tally)

    @property
    def is_balanced(self) -> bool:
        """Whether everything is as it should be; a type that took another's place is not counted."""
        return not self.strays and not self.difference

    def numbers(self) -> dict[str, int]:
        """Kind -> how many."""
        return dict(Counter(stray.kind for stray in self.strays) + self.unconfirmed)


def audit(broker: Broker, queue: str, repair: bool = False) -> Findings:
    """Looks at a queue, and mends it if asked to. Raises BrokerError."""
    found: Findings = _run(broker, _audit(broker.prefix(queue), queue))
    if repair:
        _run(broker, _mend(broker.prefix(queue), found))
    return found


def _run(broker: Broker, steps: Search) -> Any:
    reply: Any = None
    while True:
        try:
            command = steps.send(reply)
        except StopIteration as end:
            return end.value
        if isinstance(command, float):
            time.sleep(command)
            reply = None
        else:
            reply = broker.run(command) if isinstance(command, Command) else broker.exchange.request(command)


# -- the steps ------------------------------------------------------------------------------------------------------


def _audit(prefix: str, queue: str) -> Search:
    first = _Pass(prefix)
    yield from first.take_stock()
    if broken := {stray for stray in first.strays if stray.kind == "kind"}:
        found = Findings(queue, NO_TALLY)
        yield from _confirm(prefix, found, broken, 0)
        if found.strays:  # no script can read such a queue
            return found
    before: Tally = yield ledger.tally(prefix)
    yield from first.look()
    after: Tally = yield ledger.tally(prefix)
    found = Findings(queue, after)
    _compare(found, before, after, first.types)
    if first.strays:
        yield PAUSE_S
        second = _Pass(prefix)
        yield from second.take_stock()
        yield from second.look()
        yield from _confirm(prefix, found, first.strays & second.strays, len(second.live))
    return found


def _compare(found: Findings, before: Tally, after: Tally, there: Mapping[str, int]) -> None:
    """Per type. While it was read, tasks came and ended: then what was seen lies between bounds."""
    moved: dict[str, tuple[int, int]] = {}
    earlier = ledger.by_type(before.counts)
    for type, events in ledger.by_type(after.counts).items():
        was = earlier.get(type, {})
        grown = {event: number - was.get(event, 0) for event, number in events.items()}
        came, ended = (sum(n for event, n in grown.items() if SIDES.get(event) == side) for side in (1, -1))
        moved[type] = (came, ended)
    counts = {f"enqueued {type}": 0 for type in moved} | before.counts
    exact = set()
    for type, (counted, seen) in ledger.alive_by_type(counts, there).items():
        came, ended = moved.get(type, (0, 0))
        if not counted - ended <= seen <= counted + came:
            found.types[type] = (counted, seen)
            if came == ended == 0:
                exact.add(type)
    found.exact = frozenset(exact)


def _confirm(prefix: str, found: Findings, seen: set[Stray], alive: int) -> Search:
    by_kind: dict[str, list[Stray]] = {}
    for stray in sorted(seen):
        by_kind.setdefault(stray.kind, []).append(stray)
    for kind, strays in by_kind.items():
        wrong = strays[:MOST_CONFIRMED]
        found.unconfirmed[kind] = len(strays) - len(wrong)
        for look in range(LOOKS if kind in MOMENTARY else 1):
            if look and wrong:
                yield PAUSE_S / 3
            wrong = [stray for stray, word in (yield from _ask(prefix, "look", wrong, alive)) if word == "wrong"]
        found.strays += wrong
        if not wrong:
            found.unconfirmed[kind] = 0


def _ask(prefix: str, how: str, strays: Sequence[Stray], alive: int) -> Search:
    """Each with the word that `strays.lua` has for it."""
    verb, words = script("strays"), []
    size = max(1, min(100, WORK // (alive + 1))) if strays and KINDS[strays[0].kind].searches else 100
    for start in range(0, len(strays), size):
        items = [item.encode("utf-8", "surrogateescape") for stray in strays[start : start + size] for item in stray]
        command = Command(verb, verb.command(prefix.encode(), how, *items), list)
        words += [word.decode() for word in (yield command)]
    return list(zip(strays, words, strict=True))


def _mend(prefix: str, found: Findings) -> Search:
    """Lost tasks first: what an orphan holds is lost, too, and is taken from it when it is in its place."""
    alive = found.tally.depths.live
    lost = [stray.name.encode("utf-8", "surrogateescape") for stray in found.strays if stray.kind == "lost"]
    for stray in found.strays:
        if stray.kind == "orphan" and not (yield encode("EXISTS", keys.key(prefix, "WORKER", stray.name))):
            lost += yield encode("LRANGE", keys.key(prefix, "PROCESSING", stray.name), 0, -1)
    size = max(1, min(20, WORK // (alive + 1)))
    restored = 0
    for start in range(0, len(lost), size):
        restored += yield verbs.restore(prefix, lost[start : start + size])
    found.mended["lost"] = restored
    for kind in dict.fromkeys(stray.kind for stray in found.strays):
        if kind != "lost":
            mine = [stray for stray in found.strays if stray.kind == kind]
            words = yield from _ask(prefix, "mend", mine, alive)
            found.mended[kind] = sum(word != "wrong" for _, word in words)
    if found.difference or found.types:
        exact = [
            (type, counted, seen - counted) for type, (counted, seen) in found.types.items() if type in found.exact
        ]
        found.booked = sum(map(abs, (yield ledger.correct(prefix, exact))))


# -- one pass -------------------------------------------------------------------------------------------------------


class _Pass:
    """Reads the queue once: `strays` is what seems wrong."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.strays: set[Stray] = set()
        self.live: set[bytes] = set()
        self.types: Counter[str] = Counter()
        self._seen: dict[bytes, int] = {}
        self._places: list[str] = []

    def take_stock(self) -> Search:
        """Which keys there are."""
        self.stock = inventory.Stock(self.prefix)
        cursor = ""
        while cursor != "0":
            cursor = self.stock.add((yield inventory.page(self.prefix, cursor or "0")))
        self.strays |= {Stray(*stray) for stray in self.stock.strays}

    def look(self) -> Search:
        """What is in them."""
        sound = self.stock.names
        deadlines: list[bytes] = []
        generations: dict[bytes, bytes] = {}
        ghosts: dict[str, list[bytes]] = {level: [] for level in keys.PRIORITIES}
        for name in sound("DEADLINES"):
            yield from scan("ZSCAN", name, lambda page: deadlines.extend(page[::2]))
        for name in sound("GENERATIONS"):
            yield from scan("HSCAN", name, lambda page: generations.update(zip(page[::2], page[1::2], strict=True)))
        for level in keys.PRIORITIES:
            for name in sound("GHOSTS", level):
                yield from scan("SSCAN", name, ghosts[level].extend)
        for name in sound("DELAYED"):
            yield from scan("ZSCAN", name, self._taker(name, lambda page: page[::2]))
        for family in ("QUEUE", "SUSPECTS", "LANE", "PROCESSING"):
            for name in sound(family):
                yield from tail(name, self._taker(name))
        for _ in sound("TASKS"):
            yield from self._read_live()
        self._compare(deadlines, generations, ghosts)
        yield from self._look_at_unique()
        yield from self._look_at_names()

    def _taker(self, place: str, entries: Callable[[Any], Any] = list) -> Callable[[Any], None]:
        """What is read from a place. A page may begin with what the last one ended with, since others push."""
        number = len(self._places)
        self._places.append(place)
        last: set[bytes] = set()

        def take(page: Any) -> None:
            nonlocal last
            here = entries(page)
            for entry in here:
                before = self._seen.setdefault(entry, -1)
                if before < 0:
                    self._seen[entry] = number
                elif entry not in last:
                    self._add("twice", entry, f"{self._places[before]} {place}")
            last = set(here)

        return take

    def _read_live(self) -> Search:
        cursor = ""
        while cursor != "0":
            cursor, page = yield verbs.entries(self.prefix, cursor or "0")
            for entry, type in page:
                if entry not in self.live:
                    self.live.add(entry)
                    self.types[type.decode("utf-8", "replace")] += 1

    def _compare(
        self, deadlines: list[bytes], generations: Mapping[bytes, bytes], ghosts: Mapping[str, list[bytes]]
    ) -> None:
        all_ghosts = {ghost for found in ghosts.values() for ghost in found}
        for entry in self.live - self._seen.keys():
            self._add("lost", entry)
        for entry in self._seen.keys() - self.live - all_ghosts:
            self._add("over", entry, self._places[self._seen[entry]])
        for level, found in ghosts.items():
            for entry in found:
                if entry not in self._seen or entry in self.live:
                    self._add("ghost", entry, level)
        for entry in set(deadlines) - self.live:
            self._add("deadline", entry)
        for id, entry in generations.items():
            if entry not in self.live:
                self._add("generation", id, entry.decode("utf-8", "surrogateescape"))
        for entry in self.live:
            if b" " in entry and generations.get(entry.partition(b" ")[0]) != entry:
                self._add("nameless", entry)

    def _look_at_unique(self) -> Search:
        """The names that tasks have, and their reverse."""
        found: list[tuple[bytes, bytes, str]] = []
        for family in ("UNIQUES", "NAMED", "UNSTARTED"):
            for place in self.stock.names(family):
                is_by_name = family == "UNIQUES"
                pairs: list[bytes] = []
                yield from scan("HSCAN", place, pairs.extend)
                found += [
                    (one, other if is_by_name else one, place)
                    for one, other in zip(pairs[::2], pairs[1::2], strict=True)
                ]
        for told, entry, place in found:
            if entry not in self.live:
                self._add("name", told, place)

    def _look_at_names(self) -> Search:
        """What few words say: workers, lanes, shelves, dead letters, markers."""
        stock = self.stock
        for worker in stock.suffixes("PROCESSING"):
            self._add("orphan", worker.encode())
        lanes = {(lane, level) for level, lane in (s.split(":", 1) for s in stock.suffixes("LANE"))}
        for level in keys.PRIORITIES:
            for name in stock.names("LANES_AT", level):
                lanes |= {(lane.decode("utf-8", "surrogateescape"), level) for lane in (yield encode("SMEMBERS", name))}
        for lane, level in lanes:
            self._add("lane", lane.encode("utf-8", "surrogateescape"), level)
        for shelf in stock.suffixes("SHELF"):
            if not shelf.startswith(keys.LIVE_SHELF):
                self._add("shelf", shelf.encode())
        yield from self._look_at_letters()
        for name in (*stock.suffixes("SCHEDULE"), *(yield from self._members("SCHEDULES", "FIRES"))):
            self._add("schedule", name.encode("utf-8", "surrogateescape"))
        for kind in ("wake", "wake_alone", "armed"):
            self._add(kind, b"")
        for digest in stock.suffixes("TYPES"):
            self._add("wake_group", digest.encode())
        doubtful = [stray for stray in self.strays if stray.kind in (*MOMENTARY, "lane", "shelf", "schedule")]
        asked = yield from _ask(self.prefix, "look", doubtful, 0)
        self.strays -= {stray for stray, word in asked if word == "right"}

    def _members(self, a_set: str, a_zset: str) -> Search:
        """The members of two keys."""
        found: list[bytes] = []
        for name in self.stock.names(a_set):
            yield from scan("SSCAN", name, found.extend)
        for name in self.stock.names(a_zset):
            yield from scan("ZSCAN", name, lambda page: found.extend(page[::2]))
        return [name.decode("utf-8", "surrogateescape") for name in found]

    def _look_at_letters(self) -> Search:
        """The two keys of the dead letters, if they do not have the same number of them."""
        dated, kept = self.stock.names("DEAD_LETTERS"), self.stock.names("DEAD")
        if dated and kept and (yield encode("ZCARD", *dated)) == (yield encode("HLEN", *kept)):
            return
        ids: Counter[bytes] = Counter()
        for name in dated:
            yield from scan("ZSCAN", name, lambda page: ids.update(set(page[::2])))
        for name in kept:
            yield from scan("HSCAN", name, lambda page: ids.update(set(page[::2])), size=100)
        for id, number in ids.items():
            if number == 1:
                self._add("letter", id)

    def _add(self, kind: str, name: bytes, where: str = "") -> None:
        self.strays.add(Stray(kind, name.decode("utf-8", "surrogateescape"), where))
