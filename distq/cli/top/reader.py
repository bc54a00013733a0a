"""The thread that asks the broker, look after look, and changes what somebody wants changed: the screen never waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from distq.broker.causes import NO_FRAME
from distq.broker.inspect import DeadFilter
from distq.cli import output
from distq.cli.top.numbers import News
from distq.cli.top.view import Act
from distq.errors import DistqError
from distq.facts import DeadGroup, dead_groups, find_dead, places, replay_dead
from distq.history import lately
from distq.overview import Overview, overview
from distq.run_times import RunTimes

if TYPE_CHECKING:
    from distq.app import Distq

MOST_DEAD = 500
"""So many of the newest dead letters are grouped."""
PLACES_EVERY_S, RUNS_EVERY_S, DEAD_EVERY_S = 10.0, 5.0, 2.0
"""What changes seldom, or costs more, is asked so often at most."""


class Looks:
    """One look after the other: one round trip, with one script for each queue. The names of the queues and run times
    are asked for now and then, dead letters when there are others than before."""

    def __init__(self, app: Distq) -> None:
        self._app = app
        self._named: Mapping[str, Sequence[str]] = {}
        self._runs: Mapping[str, RunTimes] = {}
        self._named_at = self._runs_at = self._dead_at = -1e9
        self._dead: tuple[list[DeadGroup], bool] = ([], True)
        self._dead_mark: object = None

    def look(self) -> News:
        """What is there now. Raises BrokerError."""
        if time.monotonic() - self._named_at > PLACES_EVERY_S:
            self._named, self._named_at = places(self._app), time.monotonic()
        if time.monotonic() - self._runs_at > RUNS_EVERY_S:
            self._runs, self._runs_at = lately(self._app, "5m").types, time.monotonic()
        now = overview(self._app, self._named)
        mark = _mark(now)
        if mark != self._dead_mark and time.monotonic() - self._dead_at > DEAD_EVERY_S:
            self._dead, self._dead_at, self._dead_mark = dead_groups(self._app, MOST_DEAD), time.monotonic(), mark
        return News(now, *self._dead, self._runs)

    def forget_dead(self) -> None:
        """They were changed from here: look at once."""
        self._dead_at = -1e9


def _mark(now: Overview) -> object:
    """Another one as soon as something has died, or dead letters have gone."""
    counts = [
        (tally.depths.dead, sum(number for event, number in tally.counts.items() if event.startswith("dead ")))
        for tally in now.queues.values()
    ]
    return counts


class Reader(threading.Thread):
    """Looks, and acts between two looks. `tell` gets News, the text of what keeps us from them, or what an act did."""

    def __init__(self, app: Distq, every_s: float, tell: Callable[[News | BaseException | str], None]) -> None:
        super().__init__(name="distq-top", daemon=True)
        self._app, self._every_s, self._tell = app, every_s, tell
        self._looks = Looks(app)
        self._acts: queue.SimpleQueue[Act] = queue.SimpleQueue()

    def do(self, act: Act) -> None:
        """As soon as it has time; then it looks again."""
        self._acts.put(act)

    def run(self) -> None:
        """For ever."""
        while True:
            began = time.monotonic()
            try:
                self._tell(self._looks.look())
            except Exception as error:  # shown instead
                self._tell(error)
            try:
                act = self._acts.get(timeout=max(0.0, self._every_s - (time.monotonic() - began)))
            except queue.Empty:
                continue
            self._tell(self._done(act))

    def _done(self, act: Act) -> str:
        try:
            return perform(self._app, act)
        except DistqError as error:
            return str(error)
        finally:
            self._looks.forget_dead()


def perform(app: Distq, act: Act) -> str:
    """Changes what was asked for; what there is to say of it."""
    if act.verb == "replay":
        wanted = DeadFilter(type=act.type or "", error=f"={act.error}", frame=act.frame or NO_FRAME)
        return f"{output.number(replay_dead(app, find_dead(app, wanted)), 'task')} of {act.type} will run again"
    what = f"queue {act.queue}" if act.queue is not None else f"type {act.type}"
    if act.verb == "pause":
        is_new = app.pause(queue=act.queue, type=act.type)
        return f"{what}: paused" if is_new else f"{what} was paused already"
    is_new = app.resume(queue=act.queue, type=act.type)
    return f"{what}: resumed" if is_new else f"{what} was not paused"
