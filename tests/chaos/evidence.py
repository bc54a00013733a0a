"""What the storm's tasks and producers wrote down, what the broker says in the end, and whether the two agree."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgpack

from distq.message import parse
from tests.chaos.gates import judge_gates
from tests.chaos.producer import WITHDRAWN
from tests.support.apps.storm import DELIVERIES
from tests.support.journal import Journal
from tests.support.room import Room

DYING_S = 0.05
"""For so long after a kill a process may still write that it starts something."""
EARLY_S = 0.015
"""The broker counts whole milliseconds, from when the call arrives."""


@dataclass
class Call:
    """One call of a producer. `id` None: it raised, or its producer was killed."""

    label: str
    kind: str
    at: float
    delay: float
    id: str | None = None
    error: str = ""
    cancelled: bool = False
    gate: str = ""
    """What bounds it: a type, and a key behind it."""
    acked_at: float = 0.0


@dataclass
class Run:
    """One run of one task, by its own evidence. `ended` None: it did not come to its end."""

    id: str
    label: str
    host: str
    attempt: int
    delivery: int
    fence: int
    pid: int
    started: float
    ended: float | None = None
    is_refused: bool = False
    """It gave its attempt back."""


@dataclass
class Fault:
    """`host` and `pid`: what it hit; both None: the broker, and so all. `ended`: when it was over, or when a killed
    process was gone."""

    kind: str
    begun: float
    ended: float = float("inf")
    host: str | None = None
    pid: int | None = None
    reach: float = 0.0
    """Seconds for which it may have effects afterwards."""
    is_harmless: bool = False
    """Nothing may be repeated because of it."""

    @property
    def parts(self) -> bool:
        """Whether what it hits can go on afterwards, although others took over: two runs may overlap."""
        return not self.kind.startswith(("kill", "poison"))

    def hits(self, run: Run) -> bool:
        """Whether it was meant for the process of this run."""
        return self.host in (None, run.host) and self.pid in (None, run.pid)

    def explains(self, before: Run, after: Run) -> bool:
        """Whether a run was repeated because of it."""
        return (
            not self.is_harmless
            and self.hits(before)
            and self.begun <= after.started
            and self.ended + self.reach >= before.started
        )


@dataclass
class Ending:
    """How the broker says that a task has ended."""

    word: str
    fence: int | None = None
    deliveries: int = 0


@dataclass
class Evidence:
    """All of it."""

    calls: dict[str, Call]
    runs: dict[str, list[Run]]
    faults: list[Fault]
    endings: dict[str, Ending] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    """Label of a call -> id of the task that was there already."""
    twice: list[str] = field(default_factory=list)
    """Ids that ended in more than one way."""
    live: set[str] = field(default_factory=set)

    @cached_property
    def acked(self) -> dict[str, Call]:
        """Id -> call. Read for each call that met another, when nothing changes any more."""
        return {call.id: call for call in self.calls.values() if call.id}

    def repeated(self) -> Iterator[tuple[Run, Run]]:
        """Runs of the same attempt, one after the other."""
        for runs in self.runs.values():
            for before, after in itertools.pairwise(runs):
                if (before.attempt == after.attempt and not before.is_refused) or before.ended is None:
                    yield before, after

    def explanation(self, before: Run, after: Run) -> Fault | None:
        """The nearest fault that explains the second run."""
        return self._nearest([fault for fault in self.faults if fault.explains(before, after)], before)

    @staticmethod
    def _nearest(faults: list[Fault], run: Run) -> Fault | None:
        """Of those that hit just this host or process, if there are any; those of the broker hit all."""
        own = [fault for fault in faults if fault.host or fault.pid] or faults
        return min(own, key=lambda fault: abs(fault.begun - run.started), default=None)

    def overlaps(self) -> Iterator[tuple[Run, Run, Fault | None]]:
        """Runs that began while the one before was alive, each with the fault that parted its host from the broker."""
        for runs in self.runs.values():
            for before, after in itertools.pairwise(runs):
                if after.started < self.over(before):
                    parts = [fault for fault in self.faults if fault.parts and fault.explains(before, after)]
                    yield before, after, self._nearest(parts, before)

    def over(self, run: Run) -> float:
        """Until when it surely was alive. What is killed may have died at once, although its killer hears of that
        later: on a busy machine by half a second."""
        if run.ended is not None:
            return run.ended
        kills = [fault for fault in self.faults if not fault.parts and not fault.is_harmless and fault.hits(run)]
        deaths = [kill.begun for kill in kills if kill.ended + kill.reach >= run.started]
        return max(run.started, min(deaths, default=float("inf")))


# -- reading --------------------------------------------------------------------------------------------------------


def read(journal: Journal, producers: list[Path], faults: list[Fault], room: Room) -> Evidence:
    """Everything, when all has ended."""
    calls: dict[str, Call] = {}
    joined: dict[str, str] = {}
    for file in producers:
        for line in file.read_text().splitlines() if file.exists() else ():
            _note_call(calls, joined, json.loads(line))
    evidence = Evidence(calls, _runs(journal), faults, joined=joined)
    for runs in evidence.runs.values():
        for run in runs:
            call = calls.get(run.label)
            if call and call.kind == "poison" and run.ended is None:
                faults.append(Fault("poison task", run.started, run.started, run.host, run.pid, DYING_S))
    _read_broker(evidence, room)
    return evidence


def _note_call(calls: dict[str, Call], joined: dict[str, str], line: list[Any]) -> None:
    word, label, *rest = line
    if word == "called":
        kind, at, delay, gate = rest
        calls[label] = Call(label, kind, at, delay, gate=gate)
    elif word == "acked":
        calls[label].id, calls[label].acked_at = rest
    elif word == "joined":
        joined[label] = rest[0]
    elif word == "raised":
        calls[label].error = rest[0]
    else:
        calls[label].cancelled = True


def _runs(journal: Journal) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {}
    going: dict[tuple[str, int, int], Run] = {}
    for line in journal.lines():
        label, _, host = line.label.partition("@")
        if line.event == "START":
            run = Run(line.id, label, host, line.attempt, line.delivery, line.fence, line.pid, line.at)
            runs.setdefault(line.id, []).append(run)
            going[line.id, line.fence, line.pid] = run
        elif line.event == "REFUSED":
            going[line.id, line.fence, line.pid].is_refused = True
        else:
            going[line.id, line.fence, line.pid].ended = line.at
    for many in runs.values():
        many.sort(key=lambda run: run.started)
    return runs


def _read_broker(evidence: Evidence, room: Room) -> None:
    """The results of all, and the dead letters."""
    for shelf in room.shelves():
        for id, raw in room.redis.hscan_iter(shelf, count=500):
            if not id:
                continue
            word, value, *_ = msgpack.unpackb(raw, strict_map_key=False)
            fence = value[0] if isinstance(value, list) else value
            if id.decode() in evidence.endings:
                evidence.twice.append(id.decode())
            evidence.endings[id.decode()] = Ending(word, fence if isinstance(fence, int) else None)
    for id, raw in room.redis.hscan_iter(room.key("DEAD"), count=500):
        ending = evidence.endings.get(id.decode())
        if ending is None or ending.word != "dead":
            evidence.twice.append(id.decode())
        else:
            ending.deliveries = parse(raw).deliveries
    evidence.live = {entry.decode().partition(" ")[0] for entry in room.redis.hkeys(room.key("TASKS"))}


# -- judging --------------------------------------------------------------------------------------------------------


def judge(evidence: Evidence) -> dict[str, list[str]]:
    """What is wrong, by kind of wrong."""
    wrong: dict[str, list[str]] = {}

    def say(kind: str, text: object) -> None:
        wrong.setdefault(kind, []).append(str(text))

    for id, call in evidence.acked.items():
        ending, runs = evidence.endings.get(id), evidence.runs.get(id, [])
        if ending is None:
            meanwhile = [
                fault for fault in evidence.faults if fault.begun - 2 <= call.at + call.delay <= fault.ended + 5
            ]
            say("stuck" if id in evidence.live else "lost", f"{call}, {runs}, near {meanwhile}")
        else:
            for text in _disagreements(evidence, call, ending, runs):
                say("ended otherwise than its runs say", f"{text}: {call}, {ending}, {runs}")
        if runs and runs[0].started < call.at + call.delay - EARLY_S:
            say("early", f"{call}, {runs[0]}")
    for id in evidence.live - evidence.acked.keys():
        say("stuck", f"{id}, whose call raised")
    for id in evidence.twice:
        say("ended twice", id)
    for kind, text in itertools.chain(_judge_runs(evidence), judge_gates(evidence)):
        say(kind, text)
    labels = Counter(runs[0].label for runs in evidence.runs.values())
    for label in [label for label, number in labels.items() if number > 1]:
        say("one call, two tasks", label)
    return wrong


def _judge_runs(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for before, after in evidence.repeated():
        if evidence.explanation(before, after) is None:
            yield "repeated without a fault", f"{before}, {after}"
    for before, after, fault in evidence.overlaps():
        if fault is None:
            yield "overlap", f"{before}, {after}"


def _disagreements(evidence: Evidence, call: Call, ending: Ending, runs: list[Run]) -> Iterator[str]:
    attempts = sorted({run.attempt for run in runs})
    if ending.word == "completed":
        if not any(run.ended is not None for run in runs):
            yield "completed, but nothing ran to its end"
        if runs and ending.fence is not None and ending.fence != max(run.fence for run in runs):
            yield "the result is not that of the last hand-over"
    elif ending.word == "dead":
        yield from _wrong_death(call, ending, attempts)
    elif ending.word == "cancelled" and call.kind == "in_order":
        return  # between two attempts
    elif runs and evidence.explanation(runs[-1], replace(runs[-1], started=float("inf"))) is None:
        yield f"{ending.word}, but it ran"  # unless a fault took its verdict away: then it waited again, and ended so
    if call.cancelled and ending.word != "cancelled":
        yield "cancelled, but it ended otherwise"
    if call.kind == "flaky" and ending.word == "completed" and attempts != list(range(1, len(attempts) + 1)):
        yield "an attempt is missing"
    expected = {"cancelled": {"cancelled", "completed", "dead"}, "expiring": {"expired", "completed", "dead"}}
    expected |= {"poison": {"dead"}, "hopeless": {"dead"}, "hasty": {"expired", "cancelled", "completed", "dead"}}
    expected |= {kind: {"cancelled", "completed", "dead"} for kind in WITHDRAWN}
    if ending.word not in expected.get(call.kind, {"completed", "dead"}):
        yield "a wrong ending"


def _wrong_death(call: Call, ending: Ending, attempts: list[int]) -> Iterator[str]:
    if call.kind == "poison":
        if ending.deliveries != DELIVERIES:
            yield f"poison, dead after {ending.deliveries} deliveries"
    elif ending.deliveries < 3 and (call.kind != "hopeless" or attempts != [1, 2, 3, 4]):
        yield f"dead after {ending.deliveries} deliveries and attempts {attempts}"
