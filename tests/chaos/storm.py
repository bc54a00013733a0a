"""The storm: producers and hosts of two releases under random faults, until the time is over and all has ended."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

from distq.broker.audit import audit
from tests.chaos import evidence
from tests.chaos.account import Account, account
from tests.chaos.faults import ON_BROKER, ON_HOSTS, ON_NETWORK, ON_OPERATORS, Begun, Faults, Undo
from tests.chaos.release import TREE
from tests.chaos.stage import STYLES, Stage
from tests.support.apps.storm import app
from tests.support.eventually import eventually
from tests.support.rules import check_rules

DRAIN_S = 120.0
"""What is alive for so long after the last fault is stuck."""
BETWEEN_S = (0.1, 1.5)
LANES = ("hosts", "network", "broker", "operators")
OF_FLOWS = re.compile("}:(lane:|turns:|blocked:|waiters:|resumes|running|held|flowing|filling|uniques|named|unstarted)")
"""Keys that are gone when all has ended."""


@dataclass
class Lane:
    """Faults one after another, of the same kind of victim."""

    weights: dict[str, int]
    chance: random.Random
    next_at: float
    between: tuple[float, float] = BETWEEN_S
    most: int = 1
    going: int = 0

    def next(self, now: float) -> str:
        """The next fault."""
        self.next_at = now + self.chance.uniform(*self.between)
        return self.chance.choices(list(self.weights), list(self.weights.values()))[0]


@dataclass
class Storm:
    """One run."""

    seed: int
    seconds: float
    hosts: int = 3
    rate: float = 150.0
    """Calls per second of each producer."""
    program: str | None = None
    lanes: tuple[str, ...] = LANES
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="distq-storm-")))
    """Journal, calls, faults and logs; it stays if something is wrong."""
    _undo: list[tuple[float, int, Lane, Undo]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> Account:
        chance = random.Random(self.seed)
        with Stage(self.folder, random.Random(chance.random()), self.rate, self.program) as stage:
            faults = Faults(stage, random.Random(chance.random()))
            for _ in range(self.hosts):
                stage.start_worker().host.await_ready()
            for style in STYLES:
                stage.start_producer(style)
            begun = time.monotonic()
            self._rage(stage, faults, random.Random(chance.random()))
            faults.end()
            stage.end_producers()
            drained = self._drain(stage)
            problems = stage.end_workers()
            done = account(self, stage, evidence.read(stage.journal, stage.files, faults.record, stage.room))
            done.seconds, done.drained_in_s = round(time.monotonic() - begun), round(drained, 1)
            done.wrong["other"] = problems + _audit(stage)
            done.wrong["traceback"] = stage.tracebacks()
            (self.folder / "faults").write_text("\n".join(map(str, faults.record)), "utf-8")
        if not done.problems():
            shutil.rmtree(self.folder)
        return done

    def _rage(self, stage: Stage, faults: Faults, chance: random.Random) -> None:
        now = time.monotonic()
        until = now + self.seconds
        all_lanes = {
            "hosts": Lane(ON_HOSTS, random.Random(chance.random()), now + 0.5, most=3),
            "network": Lane(ON_NETWORK, random.Random(chance.random()), now + 1.0, most=2),
            "broker": Lane(ON_BROKER, random.Random(chance.random()), now + 2.0, (1.0, 4.0)),
            "operators": Lane(ON_OPERATORS, random.Random(chance.random()), now + 1.5, (0.5, 3.0), most=2),
        }
        lanes = [all_lanes[name] for name in self.lanes]
        while (now := time.monotonic()) < until:
            self._undo_what_is_due(now)
            for lane in lanes:
                if lane.next_at <= now and lane.going < lane.most:
                    self._begin(lane, faults, lane.next(now))
            stage.replace_what_is_gone()
            time.sleep(0.02)
        self._undo_what_is_due(float("inf"))

    def _begin(self, lane: Lane, faults: Faults, kind: str) -> None:
        begun: Begun | None = None
        with contextlib.suppress(redis.RedisError):  # the other lane has just taken the broker away
            begun = faults.begin(kind)
        if begun is not None:
            after, undo = begun
            lane.going += 1
            heapq.heappush(self._undo, (time.monotonic() + after, next(self._numbers), lane, undo))

    def _undo_what_is_due(self, now: float) -> None:
        while self._undo and self._undo[0][0] <= now:
            at, _, lane, undo = heapq.heappop(self._undo)
            while time.monotonic() < at:
                time.sleep(0.02)
            undo()
            lane.going -= 1

    def _drain(self, stage: Stage) -> float:
        """Until nothing is alive, or it is clear that something is stuck."""
        begun = time.monotonic()

        def done() -> bool:
            stage.replace_what_is_gone()
            return stage.is_drained()

        with contextlib.suppress(AssertionError):
            stage.producers.clear()
            stage.start_worker(TREE)  # what the last release does not know waits for this one
            eventually(done, "everything has ended", within=DRAIN_S, every=0.05)
        return time.monotonic() - begun


def _audit(stage: Stage) -> list[str]:
    """The rules, and what `distq audit` says, when all hosts have ended."""
    wrong = []
    stage.room.redis.script_flush()
    try:
        check_rules(stage.room)
    except AssertionError as error:
        wrong.append(f"a rule does not hold: {error}")
    app.rebind(stage.url)
    wrong += [f"{name} is left of flows" for name in stage.room.all_keys() if OF_FLOWS.search(name)]
    found = audit(app.broker, "default")
    if not found.is_balanced:
        wrong.append(f"the audit: {found.difference} missing, strays {found.numbers()}")
    return wrong
