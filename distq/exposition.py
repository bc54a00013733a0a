"""What `/metrics` says of queues, in Prometheus's text format (version 0.0.4), piece by piece. It sends nothing itself.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from distq.broker.backlog import Backlog
from distq.broker.ledger import OTHER, difference, waiting
from distq.broker.verbs import Depths
from distq.message import untyped
from distq.states import EVENTS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AT_ONCE = 100
"""Lines in one piece."""

COUNTED = frozenset(event.name for event in EVENTS if event.name != "corrected")
"""Events of the ledger that only rise."""

Queues = Mapping[str, Backlog]
Samples = Iterable[tuple[str, float]]
"""Labels and values."""


def of_queues(queues: Queues, types: Collection[str]) -> Iterator[str]:
    """What the broker tells of these queues. `types`: those that may be a label."""
    yield family("queue_depth", "gauge", "Tasks by place", _places([each.tally.depths for each in queues.values()]))
    levels = [
        (f'queue={quoted(name)},priority="{level}"', getattr(each.tally.depths, level))
        for name, each in queues.items()
        for level in ("high", "default", "low")
    ]
    yield family("waiting_tasks", "gauge", "Tasks that are ready or wait for a limit", levels)
    for gauge, (text, number) in _OF_A_QUEUE.items():
        samples = [(f"queue={quoted(name)}", number(each)) for name, each in queues.items()]
        yield family(gauge, "gauge", text, samples)
    yield head("tasks_total", "counter", "Events of tasks by the broker's ledger, the same on all hosts")
    for name, each in queues.items():
        yield from _events(name, types, each.tally.counts)


_OF_A_QUEUE: dict[str, tuple[str, Callable[[Backlog], float]]] = {
    "limited_tasks": ("Tasks that wait for a limit", lambda each: each.limited),
    "running_tasks": ("Tasks that workers have", lambda each: each.tally.depths.running),
    "delayed_tasks": ("Tasks that wait for their time", lambda each: each.tally.depths.scheduled),
    "dead_tasks": ("Dead letters", lambda each: each.tally.depths.dead),
    "oldest_task_age_seconds": ("How long what is next has waited", lambda each: each.age_ms / 1000),
    "schedule_lag_seconds": ("How long the next delayed task or tick is due", lambda each: each.overdue_ms / 1000),
    "ledger_difference": ("Tasks that are missing by the broker's ledger", lambda each: difference(each.tally)),
}


def head(name: str, kind: str, text: str) -> str:
    """What stands before the samples of a family; by its name without our prefix."""
    return f"# HELP distributedq_{name} {text}\n# TYPE distributedq_{name} {kind}\n"


def family(name: str, kind: str, text: str, samples: Samples) -> str:
    """A whole one."""
    lines = [f"distributedq_{name}{f'{{{labels}}}' if labels else ''} {value}\n" for labels, value in samples]
    return head(name, kind, text) + "".join(lines)


def _events(queue: str, known: Collection[str], counts: Mapping[str, int]) -> Iterator[str]:
    """Types that this host does not declare are one: labels come from the application, not from the broker."""
    found: Counter[tuple[str, str]] = Counter()
    for field, number in counts.items():
        event, _, type = field.partition(" ")
        name = untyped(type)[0]
        if event in COUNTED:
            found[event, name if name in known else OTHER] += number
    lines = [
        f'distributedq_tasks_total{{queue={quoted(queue)},state="{event}",type={quoted(type)}}} {number}\n'
        for (event, type), number in sorted(found.items())
    ]
    for start in range(0, len(lines), AT_ONCE):
        yield "".join(lines[start : start + AT_ONCE])


def _places(depths: Sequence[Depths]) -> Samples:
    """The queues of this host together."""
    numbers = {
        "main_queue": sum(map(waiting, depths)),
        "processing_queue": sum(d.running for d in depths),
        "delayed_queue": sum(d.scheduled for d in depths),
        "dead_letter_queue": sum(d.dead for d in depths),
    }
    return [(f'queue="{place}"', number) for place, number in numbers.items()]


def quoted(value: str) -> str:
    """A label's value: a name of a type may hold anything."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
