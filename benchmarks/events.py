"""Discrete events: a clock, things that take time (`Act`), lines in which they wait, and stories made of acts."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

SLICE_S = 0.0001
"""So long somebody has a core before others have their turn."""

Then = Callable[[], None]


class Clock:
    """What happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Then]] = []
        self._order = count()

    def after(self, seconds: float, then: Then) -> None:
        """In so many seconds."""
        heapq.heappush(self._due, (self.now + seconds, next(self._order), then))

    def run(self, until: float) -> None:
        """All of it, up to then."""
        while self._due and self._due[0][0] <= until:
            self.now, _, then = heapq.heappop(self._due)
            then()
        self.now = until


class Act(Protocol):
    """Something that takes time."""

    def begin(self, clock: Clock, then: Then) -> None:
        """Calls `then` when it is over."""


class Line:
    """So many at a time; the others stand in line."""

    def __init__(self, places: int) -> None:
        self._free, self._line = places, deque[Then]()
        self.busy_s = 0.0

    def enter(self, then: Then) -> None:
        """`then`, when it is our turn."""
        if self._free:
            self._free -= 1
            then()
        else:
            self._line.append(then)

    def leave(self) -> None:
        """The next one."""
        if self._line:
            self._line.popleft()()
        else:
            self._free += 1


class Cores(Line):
    """The processors of a machine."""

    def __init__(self, places: int, speed: float) -> None:
        super().__init__(places)
        self.speed = speed


@dataclass
class Pause:
    """Nobody does anything."""

    seconds: float

    def begin(self, clock: Clock, then: Then) -> None:
        """See `Act`."""
        clock.after(self.seconds, then)


@dataclass
class Compute:
    """On one of some cores, in slices; None: on a core that nobody else wants."""

    cores: Cores | None
    seconds: float

    def begin(self, clock: Clock, then: Then) -> None:
        """See `Act`."""
        cores, left = self.cores, self.seconds
        if cores is None:
            clock.after(left, then)
            return
        left /= cores.speed

        def turn() -> None:
            nonlocal left
            part = min(left, SLICE_S)
            left -= part
            cores.busy_s += part
            clock.after(part, done)

        def done() -> None:
            cores.leave()
            if left > 1e-12:
                cores.enter(turn)
            else:
                then()

        cores.enter(turn)


@dataclass
class Script:
    """In a node, when those before it are done."""

    node: Line
    cores: Cores | None
    seconds: float

    def begin(self, clock: Clock, then: Then) -> None:
        """See `Act`."""

        def done() -> None:
            self.node.busy_s += self.seconds
            self.node.leave()
            then()

        self.node.enter(lambda: Compute(self.cores, self.seconds).begin(clock, done))


class Signal:
    """Over as soon as somebody says so."""

    def __init__(self) -> None:
        self.is_given, self._then = False, list[Then]()

    def give(self) -> None:
        """Now."""
        if not self.is_given:
            self.is_given = True
            for then in self._then:
                then()

    def begin(self, clock: Clock, then: Then) -> None:
        """See `Act`."""
        if self.is_given:
            then()
        else:
            self._then.append(then)


Story = Generator[Act, None, None]


def tell(clock: Clock, story: Story) -> None:
    """One act after the other."""

    def go() -> None:
        act = next(story, None)
        if act is not None:
            act.begin(clock, go)

    go()
