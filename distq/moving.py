"""Doing something with all live tasks that a filter means, page by page, in bounded steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distq.broker import moves
from distq.broker.moves import Change, Hit
from distq.changing import check_queue, run, steps
from distq.facts import every_place
from distq.filters import Filter
from distq.sought import Shown, Sought

if TYPE_CHECKING:
    from distq.app import Distq

AT_ONCE = 50
"""Tasks in one call of a script that changes them."""
SAMPLE = 10

Act = Callable[[str, Sequence[str]], list[str]]
"""What is done with some tasks of a queue; answers a word for each."""

DONE = moves.DONE | {"cancelled", "ordered"}


@dataclass
class Sweep:
    """All that a filter means, looked at or changed. Iterate it: each turn is one page, and the numbers grow."""

    app: Distq
    wanted: Filter
    act: Act | None = None
    """None: only look."""
    takes_running: bool = False
    """Whether it does something with what runs, too."""
    start: tuple[str, str] | None = None
    """Queue and cursor to go on from: `position` of another one."""
    shown: Shown | None = None
    """A call as whoever asks may see it: arguments are compared with that."""
    looked: int = 0
    number: int = 0
    """How many are meant, or have been changed."""
    left: Counter[str] = field(default_factory=Counter)
    """Word -> how many were left as they are."""
    samples: list[Hit] = field(default_factory=list)
    position: tuple[str, str] | None = None
    """Where to go on; None: there is no more."""
    _began_ms: float | None = None
    """When it came to this queue, by its broker's clock: what is called later is not meant."""
    _seen: set[int] = field(default_factory=set)
    """Hashes of ids: a changed task may be met again."""

    def __iter__(self) -> Iterator[Sweep]:
        names = every_place(self.app, self.wanted.queue or None)
        first, cursor = self.start or (names[0], "0")
        names = names[names.index(first) :] if first in names else []
        for number, name in enumerate(names):
            self._began_ms = None
            while True:
                page = self._page(name, cursor)
                cursor = page.cursor
                behind = names[number + 1 :]
                self.position = (name, cursor) if cursor != "0" else (behind[0], "0") if behind else None
                self._take(name, page)
                yield self
                if cursor == "0":
                    break

    def run(self) -> Sweep:
        """To the end."""
        for _ in self:
            pass
        return self

    def _page(self, name: str, cursor: str) -> moves.Page:
        before = {} if self._began_ms is None else {"before": self._began_ms}
        page = self.app.broker.run(moves.sift(self.app.broker.prefix(name), cursor, self.wanted.conditions() | before))
        self._began_ms = page.now_ms if self._began_ms is None else self._began_ms
        sought = Sought(self.app, self.wanted.arguments, self.wanted.parent, self.shown)
        if not sought:
            return page
        pairs = zip(page.hits, page.messages, strict=True)
        return page._replace(hits=[hit for hit, raw in pairs if sought.of_bytes(raw)])

    def _take(self, name: str, page: moves.Page) -> None:
        self.looked += page.looked
        fresh = [hit for hit in page.hits if hash(hit.id) not in self._seen]
        self._seen.update(hash(hit.id) for hit in fresh)
        waiting = [hit for hit in fresh if hit.state != "running" or self.takes_running]
        if len(waiting) < len(fresh):
            self.left["running"] += len(fresh) - len(waiting)
        self.samples += waiting[: SAMPLE - len(self.samples)]
        if self.act is None:
            self.number += len(waiting)
            return
        for start in range(0, len(waiting), AT_ONCE):
            for word in self.act(name, [hit.id for hit in waiting[start : start + AT_ONCE]]):
                if word in DONE:
                    self.number += 1
                else:
                    self.left[word] += 1


def cancelling(app: Distq, who: str, mode: str = "") -> Act:
    """Ends them."""
    return lambda name, ids: app.broker.run(moves.cancel(app.broker.prefix(name), ids, who, mode))


def rescheduling(app: Distq, change: Change) -> Act:
    """Gives them another time or priority."""
    return lambda name, ids: app.broker.run(moves.reschedule(app.broker.prefix(name), ids, change))


def moving(app: Distq, queue: str, change: Change) -> Act:
    """Gives them another queue, and another time or priority if that is said, too."""
    check_queue(app, queue, app.broker.known_queues())
    app.broker.open(queue)
    return lambda name, ids: run(app.broker.run, steps(app.broker.prefix, name, ids, queue, change))


def left_over(left: Counter[str]) -> list[str]:
    """For people: how many were left as they are, and why."""
    return [f"left as it is: {number:,} {REASONS.get(word, word)}" for word, number in sorted(left.items())]


REASONS = {
    "running": "running already",
    "ended": "ended meanwhile",
    "unknown": "ended meanwhile",
    "expires": "would expire before that",
    "ordered": "of a type that runs in order, and has one priority",
    "taken": "have an id that the other queue has, too",
    "bound": "with limits, an order or a name that hold for their own queue only",
    "remembers": "of which what they have done is kept in their queue",
    "stays": "still in their queue",
    "suspect": "about to run alone, since their process died",
}
