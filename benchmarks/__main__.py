"""`python -m benchmarks [NAME...]`: a table; exit code 1 if a figure misses its bound.

`python -m benchmarks -tasks 100000 -workers 10` is the command line of the first system, with its figures beside ours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import (
    api,
    coroutines,
    flow,
    footprint,
    growth,
    latency,
    limits,
    lines,
    machine,
    million,
    observed,
    partitions,
    producing,
    punctuality,
    report,
    simulate,
    succession,
    throughput,
    ticking,
    tracing,
)
from benchmarks.figure import Figure
from benchmarks.first import first

ALL: dict[str, tuple[str, Callable[[int], list[Figure]]]] = {
    "drain": ("Draining a backlog", throughput.drain),
    "busy": ("Draining tasks that use the processor", throughput.busy),
    "waiting": ("Draining tasks that wait", throughput.waiting),
    "coroutines": ("Coroutines", coroutines.coroutines),
    "growth": ("Draining with more and more waiting", growth.growth),
    "partitions": ("Draining a queue of several partitions", partitions.partitions),
    "flow": ("Flow control", flow.flow),
    "produce": ("Enqueueing", producing.produce),
    "api": ("The HTTP API", api.api),
    "million": ("Looking at a million tasks", million.million),
    "hand-over": ("From call to start, idle", latency.hand_over),
    "loaded": ("From call to start, busy", latency.loaded),
    "delayed": ("Delayed tasks", punctuality.delayed),
    "retries": ("Retries", punctuality.retries),
    "schedules": ("Schedules", ticking.ticks),
    "schedules-faults": ("Schedules while hosts are killed and stopped", ticking.faults),
    "priority": ("A high task among low ones", punctuality.priority),
    "neighbours": ("A slow task in a batch", punctuality.neighbours),
    "time-limit": ("Time limits of stubborn handlers", limits.time_limit),
    "cancel": ("Cancelling running tasks", limits.cancel),
    "memory": ("Memory of a worker host", footprint.memory),
    "memory-growth": ("Memory of a worker host as it works", footprint.growth),
    "start": ("Starting a worker host", footprint.start),
    "recycling": ("Replacing a worker process", footprint.recycling),
    "rolling": ("A rolling restart", succession.rolling),
    "soak": ("Handlers that leak", succession.soak),
    "logs": ("A line in the log for each attempt", lines.logs),
    "metrics": ("Metrics on", observed.metrics),
    "scale": ("How many workers are wanted", observed.scale),
    "tracing": ("Spans of calls and attempts", tracing.tracing),
    "idle": ("An idle worker host", footprint.idle),
    "simulate": ("A model of it, beside reality, and far beyond", simulate.simulated),
}
"""Name → what it is about, and what measures it in so many rounds."""


def main() -> int:
    """Measures what was asked for, or all."""
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)

    def say(text: str) -> None:
        console.print(text, style="dim", markup=False, soft_wrap=True)

    calibrations = [machine.calibrate()]
    for line in report.about_machine(machine.describe(), calibrations):
        say(line)
    found = {}
    if options.tasks or options.workers:
        tasks, workers = options.tasks or 100_000, options.workers or 10
        found["first"] = ("The first system's command line", first(tasks, workers, say))
        calibrations.append(machine.calibrate())
    for name in options.names or ([] if found else ALL):
        about, measure = ALL[name]
        say(f"measuring {name} …")
        found[name] = (about, measure(options.rounds))
        calibrations.append(machine.calibrate())
    figures = [figure for _, some in found.values() for figure in some]
    console.print(_table(figures))
    say(report.about_machine(machine.describe(), calibrations)[-1])
    document = report.document(found, options.rounds, calibrations)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if options.out:
        report.write(document, options.out)
        console.print(f"written: {options.out}/figures.md", markup=False)
    missed = [figure for figure in figures if not figure.is_reached]
    for figure in missed:
        console.print(f"not reached: {figure.what}: wanted {figure.wanted}", markup=False, soft_wrap=True)
    if not missed:
        console.print("all wanted figures reached")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ALL))
    parser.add_argument("-tasks", type=_count, metavar="N", help="as the first system: so many no-op tasks, and")
    parser.add_argument("-workers", type=_count, metavar="N", help="so many worker processes")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write figures.json, a page and charts, too")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(ALL)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return options


def _count(text: str) -> int:
    """A number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number above 0")
    return int(text)


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("measured", justify="right")
    for name in ("", "beside it", "wanted"):
        table.add_column(name)
    for figure in figures:
        sign = "" if not figure.wanted else "[green]✓[/] " if figure.is_reached else "[bold red]✗[/] "
        number = f"{figure.value:,.0f}" if abs(figure.value) >= 100 else f"{figure.value:.2f}"
        table.add_row(figure.what, number, figure.unit, f"[dim]{figure.beside}[/]", f"{sign}{figure.wanted}")
    return table


if __name__ == "__main__":
    sys.exit(main())
