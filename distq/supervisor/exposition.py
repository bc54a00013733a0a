"""What `/metrics` says, in Prometheus's text format (version 0.0.4), piece by piece. It sends nothing itself.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from distq.broker.ledger import OTHER, Tally, difference, waiting
from distq.broker.verbs import Depths
from distq.message import untyped
from distq.run_times import BUCKETS, STATUSES, RunTimes
from distq.states import EVENTS
from distq.worker.board import Board
from distq.worker.meters import read_meters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AT_ONCE = 10
"""Types in one piece: about a tenth of a millisecond each, and the supervisor has other duties in between."""

COUNTED = frozenset(event.name for event in EVENTS if event.name != "corrected")
"""Events of the ledger that only rise."""

_BOUNDS = (*map(str, BUCKETS), "+Inf")


def exposition(board: Board, types: Sequence[str], tallies: Mapping[str, Tally]) -> Iterator[str]:
    """All families; without tallies of the queues, by their names: none of what the broker knows."""
    yield _head("distributedq_processed_total", "counter", "Ended attempts by status and type")
    yield from _by_type(board, types, _processed)
    yield _head("distributedq_task_duration_seconds", "histogram", "Duration of attempts")
    yield from _by_type(board, types, _durations)
    if tallies:
        depths = [tally.depths for tally in tallies.values()]
        yield _head("distributedq_queue_depth", "gauge", "Tasks by place") + _places(depths)
        yield _head(
            "distributedq_tasks_total", "counter", "Events of tasks by the broker's ledger, the same on all hosts"
        )
        for queue, tally in tallies.items():
            yield from _events(queue, set(types), tally)
        yield _head("distributedq_ledger_difference", "gauge", "Tasks that are missing by the broker's ledger")
        for queue, tally in tallies.items():
            yield f"distributedq_ledger_difference{{queue={_quoted(queue)}}} {difference(tally)}\n"


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


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


def _events(queue: str, known: set[str], tally: Tally) -> Iterator[str]:
    """Types that this host does not declare are one: labels come from the application, not from the broker."""
    found: Counter[tuple[str, str]] = Counter()
    for field, number in tally.counts.items():
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


def _places(depths: Sequence[Depths]) -> str:
    """The queues of this host together."""
    numbers = {
        "main_queue": sum(map(waiting, depths)),
        "processing_queue": sum(d.running for d in depths),
        "delayed_queue": sum(d.scheduled for d in depths),
        "dead_letter_queue": sum(d.dead for d in depths),
    }
    return "".join(f'distributedq_queue_depth{{queue="{place}"}} {number}\n' for place, number in numbers.items())


def _quoted(value: str) -> str:
    """A label's value: a name of a type may hold anything."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
