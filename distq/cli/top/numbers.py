"""What is shown, worked out from one look after the other: rows of values, and how fast they change. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from distq.broker import ledger
from distq.broker.ledger import SIDES
from distq.broker.verbs import Depths
from distq.facts import DeadGroup
from distq.overview import Host, Overview
from distq.run_times import RunTimes

WINDOW = 10
"""Rates are over so many looks: of what happens once in five seconds, people want to see 0.2/s."""
HISTORY = 60
"""So many looks are drawn."""

Events = Mapping[str, int]
PARTS = (0.5, 0.95, 0.99)
NEVER = RunTimes()
NOTHING = Depths(0, 0, 0, 0, 0, 0, 0, 0, 0)


class News(NamedTuple):
    """What a look has brought."""

    now: Overview
    dead: Sequence[DeadGroup]
    dead_is_all: bool
    """Whether these are all dead letters, and not the newest."""
    runs: Mapping[str, RunTimes]
    """By type, how long the attempts of the last 5 minutes took."""


class Queue(NamedTuple):
    """A row of the queues."""

    name: str
    is_paused: bool
    high: int
    default: int
    low: int
    scheduled: int
    running: int
    dead: int
    came: float
    ended: float
    oldest_s: float


class Type(NamedTuple):
    """A row of the types; rates per second."""

    name: str
    is_paused: bool
    came: float
    completed: float
    retried: float
    died: float
    alive: int
    p50_s: float
    p95_s: float
    p99_s: float
    """How long attempts of the last 5 minutes took; 0: there were none."""
    total: int
    """Completed, ever."""
    dead: int
    """Died, ever."""


class Worker(NamedTuple):
    """A row of the workers."""

    name: str
    host: str
    release: str
    number: int
    types: str
    """Of what it has, the most frequent first."""
    first: str
    """The task that it has had longest."""
    lease_left_s: float


class Cause(NamedTuple):
    """A row of what died of what."""

    type: str
    error: str
    frame: str
    """Where it was raised."""
    number: int
    newest_s: float
    message: str


class Sums(NamedTuple):
    """All queues together; rates per second."""

    waiting: int
    scheduled: int
    running: int
    dead: int
    came: float
    ended: float
    failing: float | None
    """Part of the attempts that failed; None: there were none."""
    workers: int
    hosts: int


class _Look(NamedTuple):
    at_ms: int
    queues: Mapping[str, Events]
    types: Mapping[str, Events]


class Story:
    """The last looks, from which rates follow."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=HISTORY + 1)
        self.news: News | None = None

    def add(self, news: News) -> None:
        """The newest look. Counts that went back are those of another broker, and a clock may be set back: it
        begins anew."""
        by_type: dict[str, Counter[str]] = {}
        queues: dict[str, Events] = {}
        for queue, tally in news.now.queues.items():
            queues[queue] = ledger.totals(tally.counts)
            for type, events in ledger.by_type(tally.counts).items():
                by_type.setdefault(type, Counter()).update(events)
        look = _Look(news.now.at_ms, queues, by_type)
        if self._looks and not (look.at_ms >= self._looks[-1].at_ms and _follows(look.queues, self._looks[-1].queues)):
            self._looks.clear()
        if not self._looks or look.at_ms > self._looks[-1].at_ms:
            self._looks.append(look)
        self.news = news

    @property
    def ended(self) -> list[float]:
        """How many ended per second between each two of the last looks, the newest last."""
        return [
            1000 * sum(_side(events, -1) - _side(before.queues.get(queue, events), -1)
                       for queue, events in after.queues.items()) / (after.at_ms - before.at_ms)
            for before, after in pairwise(self._looks)
        ]  # fmt: skip

    def _rates(self, of: Callable[[_Look], Events]) -> dict[str, float]:
        """Event -> per second, since the first of the last looks that saw it at all."""
        looks = [look for look in list(self._looks)[-WINDOW - 1 :] if of(look)]
        if len(looks) < 2:
            return {}
        before, after = looks[0], looks[-1]
        seconds = (after.at_ms - before.at_ms) / 1000
        return {event: (number - of(before).get(event, 0)) / seconds for event, number in of(after).items()}

    def _of_queue(self, name: str) -> dict[str, float]:
        return self._rates(lambda look: look.queues.get(name, {}))

    def _of_type(self, name: str) -> dict[str, float]:
        return self._rates(lambda look: look.types.get(name, {}))

    # -- rows --------------------------------------------------------------------------------------------------------

    def sums(self) -> Sums:
        """The first lines."""
        news = self._known()
        depths = ledger.total_depths([NOTHING, *(tally.depths for tally in news.now.queues.values())])
        rates: dict[str, float] = {}
        for queue in news.now.queues:
            rates |= {event: rates.get(event, 0.0) + rate for event, rate in self._of_queue(queue).items()}
        failed = rates.get("retried", 0.0) + rates.get("dead", 0.0)
        attempts = failed + rates.get("completed", 0.0)
        return Sums(
            ledger.waiting(depths), depths.scheduled, depths.running, depths.dead, _side(rates, 1), _side(rates, -1),
            failed / attempts if attempts else None, sum(len(host.workers) for host in news.now.hosts),
            len(news.now.hosts),
        )  # fmt: skip

    def queues(self) -> list[Queue]:
        """Each with its depths."""
        now = self._known().now
        paused = {one.queue for one in now.pauses if one.type is None}
        rows = []
        for name, tally in now.queues.items():
            depths, rates = tally.depths, self._of_queue(name)
            oldest_s = (now.at_ms - now.oldest[name]) / 1000 if name in now.oldest else 0.0
            rows.append(
                Queue(
                    name, name in paused, depths.high, depths.default, depths.low, depths.scheduled, depths.running,
                    depths.dead, _side(rates, 1), _side(rates, -1), oldest_s,
                )
            )  # fmt: skip
        return rows

    def types(self) -> list[Type]:
        """Each type that the ledger has seen, in all queues together."""
        paused = {one.type for one in self._known().now.pauses if one.type is not None and one.key is None}
        rows = []
        for name, events in (self._looks[-1].types if self._looks else {}).items():
            rates, runs = self._of_type(name), self._known().runs.get(name, NEVER)
            p50_s, p95_s, p99_s = (runs.quantile(part) or 0.0 for part in PARTS)
            rows.append(
                Type(
                    name, name in paused, _side(rates, 1), rates.get("completed", 0.0), rates.get("retried", 0.0),
                    rates.get("dead", 0.0), ledger.alive(events), p50_s, p95_s, p99_s, events.get("completed", 0),
                    events.get("dead", 0),
                )
            )  # fmt: skip
        return rows

    def workers(self) -> list[Worker]:
        """Each process of each host."""
        return [row for host in self._known().now.hosts for row in _workers(host)]

    def causes(self) -> list[Cause]:
        """What died of what."""
        news = self._known()
        return [
            Cause(
                one.newest.type, one.newest.error or "?", one.newest.frame, one.number,
                max(0.0, (news.now.at_ms - one.newest.died_at_ms) / 1000), one.newest.message,
            )
            for one in news.dead
        ]  # fmt: skip

    def _known(self) -> News:
        assert self.news is not None
        return self.news


def _workers(host: Host) -> Iterable[Worker]:
    for worker in host.workers.values():
        types = Counter(held.type for held in worker.holds)
        shown = ", ".join(type if number == 1 else f"{type} ×{number}" for type, number in types.most_common())
        more = worker.number - len(worker.holds)
        first = worker.holds[0].id if worker.holds else ""
        yield Worker(
            worker.name, host.name, str(host.about.get("distq", "")), worker.number,
            f"{shown} and {more} more" if more > 0 else shown, first, worker.lease_left_ms / 1000,
        )  # fmt: skip


def _follows(after: Mapping[str, Events], before: Mapping[str, Events]) -> bool:
    return all(
        after[queue].get(event, 0) >= number
        for queue, events in before.items()
        if queue in after
        for event, number in events.items()
        if event != "corrected"
    )


def _side(events: Mapping[str, float], side: int) -> float:
    """What came (1), or ended (-1)."""
    return sum(events.get(event, 0) for event, of in SIDES.items() if of == side and event != "corrected")
