"""What `/metrics` says of a host itself, piece by piece. It sends nothing, and asks nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from os import getpid
from typing import get_args

from distq import __version__
from distq.broker.ledger import OTHER
from distq.exposition import family, head, quoted
from distq.run_times import BUCKETS, STATUSES, RunTimes
from distq.supervisor.condition import Condition
from distq.supervisor.footprint import share_of_memory
from distq.supervisor.service import Reason
from distq.worker.board import TYPES, Board
from distq.worker.meters import read_meters

AT_ONCE = 10
"""Types in one piece: about a tenth of a millisecond each, and the supervisor has other duties in between."""

_BOUNDS = (*map(str, BUCKETS), "+Inf")


def of_types(board: Board, types: Sequence[str]) -> Iterator[str]:
    """What this host has run."""
    yield head("processed_total", "counter", "Ended attempts by status and type")
    yield from _by_type(board, types, _processed)
    yield head("task_duration_seconds", "histogram", "Duration of attempts")
    yield from _by_type(board, types, _durations)


def of_host(condition: Condition) -> Iterator[str]:
    """How this host is."""
    site = condition.site
    slots = (('state="busy"', condition.busy), ('state="total"', condition.seats))
    yield family("worker_slots", "gauge", "Tasks that can run at a time, and that do", slots)
    replaced = [(f'reason="{reason}"', site.replaced[reason]) for reason in get_args(Reason)]
    yield family("child_restarts_total", "counter", "Processes that were replaced", replaced)
    losses, reconnects = condition.lease_losses, condition.reconnects
    yield family("lease_losses_total", "counter", "Processes whose tasks others had taken over", [("", losses)])
    yield family("reconnects_total", "counter", "Connections to the broker that came back", [("", reconnects)])
    python = ".".join(map(str, sys.version_info[:3]))
    build = f'version="{__version__}",python="{python}",server={quoted(site.server)}'
    yield family("build_info", "gauge", "What this host runs, and with which broker", [(build, 1)])
    yield from _memory(condition.pids)


def _memory(pids: Sequence[int]) -> Iterator[str]:
    """A third of a millisecond for each process: the kernel looks at all its pages."""
    if own := share_of_memory(getpid()):
        sizes = (('process="supervisor"', own), ('process="children"', sum(map(share_of_memory, pids))))
        yield family("memory_bytes", "gauge", "Memory, with a share of what several processes have", sizes)


def of_demand(wanted_workers: int) -> Iterator[str]:
    """How many hosts there should be."""
    yield family("wanted_workers", "gauge", "Hosts that there should be", [("", wanted_workers)])


def _by_type(board: Board, types: Sequence[str], lines: Callable[[str, RunTimes], list[str]]) -> Iterator[str]:
    """Those beyond the last place of a type share one, and are told together."""
    types = [*types[:TYPES], OTHER] if len(types) > TYPES else types
    for start in range(0, len(types), AT_ONCE):
        found: list[str] = []
        for position in range(start, min(start + AT_ONCE, len(types))):
            found += lines(quoted(types[position]), read_meters(board, position))
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
