"""`python -m benchmarks [NAME...] [--rounds 3] [--json FILE]`: a table; exit code 1 if a figure misses its bound."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import footprint, punctuality, throughput
from benchmarks.figure import Figure
from distq.embedded import find_server

ALL: dict[str, Callable[[int], list[Figure]]] = {
    "drain": throughput.drain,
    "produce": throughput.produce,
    "hand-over": punctuality.hand_over,
    "delayed": punctuality.delayed,
    "retries": punctuality.retries,
    "priority": punctuality.priority,
    "neighbours": punctuality.neighbours,
    "idle": footprint.idle,
    "memory": footprint.memory,
    "growth": footprint.growth,
    "start": footprint.start,
    "recycling": footprint.recycling,
}


def main() -> int:
    """Measures what was asked for, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    unknown = set(options.names) - set(ALL)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {Path(find_server()).name}; "
        "compare what stands beside a figure, not machines",
        style="dim",
        soft_wrap=True,
    )
    figures: list[Figure] = []
    for name in options.names or ALL:
        console.print(f"measuring {name} …", style="dim")
        figures += ALL[name](options.rounds)
    console.print(_table(figures))
    if options.json:
        options.json.write_text(json.dumps([{**asdict(f), "is_reached": f.is_reached} for f in figures], indent=2))
    missed = [figure for figure in figures if not figure.is_reached]
    console.print(f"{len(missed)} wanted figures not reached" if missed else "all wanted figures reached")
    return 1 if missed else 0


def _table(figures: list[Figure]) -> Table:
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
