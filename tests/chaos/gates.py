"""Whether limits held in the storm, by what the tasks wrote down: how many ran at once, in which order, under one name.

No fault excuses more than a limit: what was lost with its host keeps its place until it has run again, and a run that a
stopped host goes on with is one that another has taken the place of.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.apps.storm_flows import MOST_AT_ONCE

if TYPE_CHECKING:
    from tests.chaos.evidence import Call, Evidence, Run

MOST = {"few_at_once": MOST_AT_ONCE, "one_at_once": 1, "in_order": 1}
"""Type -> how many of a gate may run at once."""


@dataclass
class _Task:
    """What is known of one task of a gate. `call` has no id if it raised."""

    call: Call
    runs: list[Run]

    @property
    def last(self) -> Run:
        """That of the last hand-over."""
        return max(self.runs, key=lambda run: run.fence)

    def newest(self, at: float) -> Run | None:
        """Of those that had begun by then, the one of the last hand-over."""
        begun = [run for run in self.runs if run.started <= at]
        return max(begun, key=lambda run: run.fence, default=None)


def gates(evidence: Evidence) -> dict[str, list[_Task]]:
    """Gate -> the tasks that it bounds."""
    found: dict[str, list[_Task]] = defaultdict(list)
    for runs in evidence.runs.values():
        call = evidence.calls.get(runs[0].label)
        if call is not None and call.gate:
            found[call.gate].append(_Task(call, runs))
    for call in evidence.calls.values():
        if call.id and call.gate and call.id not in evidence.runs:
            found[call.gate].append(_Task(call, []))
    return found


def judge_gates(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """What is wrong: its kind, and what it is about."""
    for gate, tasks in gates(evidence).items():
        kind = gate.partition(" ")[0]
        if kind in MOST:
            yield from (("too many at once", text) for text in _too_many(evidence, gate, tasks, MOST[kind]))
        if kind == "in_order":
            yield from (("out of order", text) for text in _out_of_order(gate, tasks))
        if kind == "one_there":
            yield from (("two of one name", text) for text in _two_of_a_name(gate, tasks))
    for label, id in evidence.joined.items():
        if id not in evidence.acked and id not in evidence.endings:
            yield "lost", f"{label} met {id}, and that has not ended"


def _too_many(evidence: Evidence, gate: str, tasks: list[_Task], most: int) -> Iterator[str]:
    """At each start: those that live, each task once, and not what others have taken the place of."""
    begun = sorted((run for task in tasks for run in task.runs), key=lambda run: run.started)
    owners = {id(run): task for task in tasks for run in task.runs}
    over = {id(run): evidence.over(run) for run in begun}
    living: list[Run] = []
    for run in begun:
        living = [one for one in living if over[id(one)] > run.started] + [run]
        now = [one for one in living if owners[id(one)].newest(run.started) is one]
        if len(now) > most:
            yield f"{gate}: {len(now)} instead of {most}: {now}"


def _out_of_order(gate: str, tasks: list[_Task]) -> Iterator[str]:
    """Of two calls, one answered before the other was made, all runs of the first come before those of the second."""
    answered = sorted((task for task in tasks if task.call.acked_at and task.runs), key=lambda task: task.call.acked_at)
    latest: list[_Task] = []
    for task in answered:
        latest.append(task if not latest or task.last.started > latest[-1].last.started else latest[-1])
    times = [task.call.acked_at for task in answered]
    for task in tasks:
        before = bisect_right(times, task.call.at)
        if task.runs and before and latest[before - 1].last.started > task.runs[0].started:
            yield f"{gate}: {latest[before - 1]} ran after {task}"


def _two_of_a_name(gate: str, tasks: list[_Task]) -> Iterator[str]:
    """A task surely was there from the answer, or its first run, to its last hand-over."""
    there = []
    for task in tasks:
        since = min([task.call.acked_at or float("inf"), *(run.started for run in task.runs)])
        there.append((since, task.last.started if task.runs else since, task))
    there.sort(key=lambda one: one[:2])
    for (_, until, first), (since, _, second) in itertools.pairwise(there):
        if since < until:
            yield f"{gate}: {first} and {second}"
