"""What happened when in all queues of an application together, for whoever shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from distq.broker.history import AT_ONCE, NOTED, RANGES, Past, histories
from distq.broker.together import of_all
from distq.errors import ConfigurationError, did_you_mean
from distq.facts import every_place
from distq.run_times import RunTimes

if TYPE_CHECKING:
    from distq.app import Distq


@dataclass
class Slot:
    """A part of the time. The last one is not over yet."""

    at_ms: int
    seconds: float
    """How long it has lasted."""
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NOTED, 0))
    runs: RunTimes = field(default_factory=RunTimes)
    """Attempts of all types that ended in it."""


@dataclass
class History:
    """One of RANGES until now."""

    range: str
    now_ms: int
    slots: list[Slot]
    types: dict[str, RunTimes]
    """Attempts by type, the most frequent first."""

    @property
    def events(self) -> dict[str, int]:
        """What happened in all of it."""
        return {name: sum(slot.events[name] for slot in self.slots) for name in NOTED}

    @property
    def runs(self) -> RunTimes:
        """All attempts."""
        return _together(self.types.values())


def lately(found: Distq, range: str) -> History:
    """What happened in the last 5m, 1h, 24h or 7d. Raises ConfigurationError for another range, BrokerUnavailable."""
    if range not in RANGES:
        raise ConfigurationError(f"no range {range!r:.20}{did_you_mean(range, RANGES)}; there are: {', '.join(RANGES)}")
    pasts = of_all(found.broker, every_place(found), partial(histories, range=range), AT_ONCE)
    return joined(range, [past for past in pasts if past is not None])


def joined(range: str, pasts: list[Past]) -> History:
    """What is known of several queues, as one."""
    now_ms, width_ms = max(past.now_ms for past in pasts), pasts[0].width_s * 1000
    last = now_ms // width_ms
    slots = {number: Slot(number * width_ms, width_ms / 1000) for number in _numbers(range, last, width_ms)}
    slots[last].seconds = (now_ms - last * width_ms) / 1000
    types: dict[str, RunTimes] = defaultdict(RunTimes)
    for past in pasts:
        for number, events in past.events.items():
            if slot := slots.get(number):
                for name, count in zip(NOTED, events, strict=True):
                    slot.events[name] += count
        for number, runs in past.runs.items():
            if slot := slots.get(number):
                slot.runs = _together([slot.runs, *runs.values()])
                for type, times in runs.items():
                    types[type] = types[type].plus(times)
    frequent = sorted(types.items(), key=lambda pair: (-pair[1].number, pair[0]))
    return History(range, now_ms, list(slots.values()), dict(frequent))


def _numbers(named: str, last: int, width_ms: int) -> Iterable[int]:
    return range(last - RANGES[named] * 1000 // width_ms + 1, last + 1)


def _together(runs: Iterable[RunTimes]) -> RunTimes:
    whole = RunTimes()
    for times in runs:
        whole = whole.plus(times)
    return whole
