"""What `/metrics` says, in Prometheus's text format (version 0.0.4), piece by piece. It sends nothing itself.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from os import getpid
from typing import get_args

from distq import __version__
from distq.broker.backlog import Backlog
from distq.broker.ledger import OTHER, difference, waiting
from distq.broker.verbs import Depths
from distq.message import untyped
from distq.run_times import BUCKETS, STATUSES, RunTimes
from distq.states import EVENTS
from distq.supervisor.condition import Condition
from distq.supervisor.footprint import share_of_memory
from distq.supervisor.service import Reason
from distq.worker.board import Board
from distq.worker.meters import read_meters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AT_ONCE = 10
"""Types in one piece: about a tenth of a millisecond each, and the supervisor has other duties in between."""

COUNTED = frozenset(event.name for event in EVENTS if event.name != "corrected")
"""Events of the ledger that only rise."""

_BOUNDS = (*map(str, BUCKETS), "+Inf")

Queues = Mapping[str, Backlog]
Samples = Iterable[tuple[str, float]]
"""Labels and values."""


def of_types(board: Board, types: Sequence[str]) -> Iterator[str]:
    """What this host has run."""
    yield _head("distributedq_processed_total", "counter", "Ended attempts by status and type")
    yield from _by_type(board, types, _processed)
    yield _head("distributedq_task_duration_seconds", "histogram", "Duration of attempts")
    yield from _by_type(board, types, _durations)


def of_host(condition: Condition) -> Iterator[str]:
    """How this host is."""
    site = condition.site
    slots = (('state="busy"', condition.busy), ('state="total"', condition.seats))
    yield _family("worker_slots", "gauge", "Tasks that can run at a time, and that do", slots)
    replaced = [(f'reason="{reason}"', site.replaced[reason]) for reason in get_args(Reason)]
    yield _family("child_restarts_total", "counter", "Processes that were replaced", replaced)
    losses, reconnects = condition.lease_losses, condition.reconnects
    yield _family("lease_losses_total", "counter", "Processes whose tasks others had taken over", [("", losses)])
    yield _family("reconnects_total", "counter", "Connections to the broker that came back", [("", reconnects)])
    python = ".".join(map(str, sys.version_info[:3]))
    build = f'version="{__version__}",python="{python}",server={_quoted(site.server)}'
    yield _family("build_info", "gauge", "What this host runs, and with which broker", [(build, 1)])
    yield from _memory(condition.pids)


def _memory(pids: Sequence[int]) -> Iterator[str]:
    """A third of a millisecond for each process: the kernel looks at all its pages."""
    if own := share_of_memory(getpid()):
        sizes = (('process="supervisor"', own), ('process="children"', sum(map(share_of_memory, pids))))
        yield _family("memory_bytes", "gauge", "Memory, with a share of what several processes have", sizes)


def of_queues(queues: Queues, types: Sequence[str], wanted_workers: int) -> Iterator[str]:
    """What the broker tells."""
    yield _family("queue_depth", "gauge", "Tasks by place", _places([each.tally.depths for each in queues.values()]))
    levels = [
        (f'queue={_quoted(name)},priority="{level}"', getattr(each.tally.depths, level))
        for name, each in queues.items()
        for level in ("high", "default", "low")
    ]
    yield _family("waiting_tasks", "gauge", "Tasks that are ready or wait for a limit", levels)
    for family, (text, number) in _OF_A_QUEUE.items():
        samples = [(f"queue={_quoted(name)}", number(each)) for name, each in queues.items()]
        yield _family(family, "gauge", text, samples)
    yield _family("wanted_workers", "gauge", "Hosts that there should be", [("", wanted_workers)])
    yield _head("distributedq_tasks_total", "counter", "Events of tasks by the broker's ledger, the same on all hosts")
    for name, each in queues.items():
        yield from _events(name, set(types), each.tally.counts)


_OF_A_QUEUE: dict[str, tuple[str, Callable[[Backlog], float]]] = {
    "limited_tasks": ("Tasks that wait for a limit", lambda each: each.limited),
    "running_tasks": ("Tasks that workers have", lambda each: each.tally.depths.running),
    "delayed_tasks": ("Tasks that wait for their time", lambda each: each.tally.depths.scheduled),
    "dead_tasks": ("Dead letters", lambda each: each.tally.depths.dead),
    "oldest_task_age_seconds": ("How long what is next has waited", lambda each: each.age_ms / 1000),
    "schedule_lag_seconds": ("How long the next delayed task or tick is due", lambda each: each.overdue_ms / 1000),
    "ledger_difference": ("Tasks that are missing by the broker's ledger", lambda each: difference(each.tally)),
}


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _family(name: str, kind: str, text: str, samples: Samples) -> str:
    name = f"distributedq_{name}"
    lines = [f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n" for labels, value in samples]
    return _head(name, kind, text) + "".join(lines)


def _by_type(board: Board, types: Sequence[str], lines: Callable[[str, RunTimes], list[str]]) -> Iterator[str]:
    for start in range(0, len(types), AT_ONCE):
        found: list[str] = []
        for position in range(start, min(start + AT_ONCE, len(types))):
            found += lines(_quoted(types[position]), read_meters(board, position))
        yield "".join(found)


def _processed(type: str, reading: RunTimes) -> list[str]:
    return [
        f'distributedq_processed_total{{status="{status}",type={type}}} {number}\n'
        for status, number in zip(STATUSES, reading.statuses, strict=True)
    ]


def _durations(type: str, reading: RunTimes) -> list[str]:
    name = "distributedq_task_duration_seconds"
    totals = list(accumulate(reading.buckets))
    lines = [
        f'{name}_bucket{{le="{bound}",type={type}}} {total}\n' for bound, total in zip(_BOUNDS, totals, strict=True)
    ]
    return [*lines, f"{name}_count{{type={type}}} {totals[-1]}\n", f"{name}_sum{{type={type}}} {reading.sum_s!r}\n"]


def _events(queue: str, known: set[str], counts: Mapping[str, int]) -> Iterator[str]:
    """Types that this host does not declare are one: labels come from the application, not from the broker."""
    found: Counter[tuple[str, str]] = Counter()
    for field, number in counts.items():
        event, _, type = field.partition(" ")
        name = untyped(type)[0]
        if event in COUNTED:
            found[event, name if name in known else OTHER] += number
    lines = [
        f'distributedq_tasks_total{{queue={_quoted(queue)},state="{event}",type={_quoted(type)}}} {number}\n'
        for (event, type), number in sorted(found.items())
    ]
    for start in range(0, len(lines), 10 * AT_ONCE):
        yield "".join(lines[start : start + 10 * AT_ONCE])


def _places(depths: Sequence[Depths]) -> Samples:
    """The queues of this host together."""
    numbers = {
        "main_queue": sum(map(waiting, depths)),
        "processing_queue": sum(d.running for d in depths),
        "delayed_queue": sum(d.scheduled for d in depths),
        "dead_letter_queue": sum(d.dead for d in depths),
    }
    return [(f'queue="{place}"', number) for place, number in numbers.items()]


def _quoted(value: str) -> str:
    """A label's value: a name of a type may hold anything."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
