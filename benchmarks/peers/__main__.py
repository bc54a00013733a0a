"""`python -m benchmarks.peers [NAME...]`: a table, and with `--out FOLDER` JSON, a report and charts."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.peers import systems, workloads
from benchmarks.peers.report import write
from benchmarks.peers.run import Run
from benchmarks.peers.table import OURS, terminal
from benchmarks.peers.workloads import Scale


def main() -> int:
    """Measures what was asked for, or all. Exit code 1 if distq itself was left out or failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(systems.BY_KEY))
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (default: 3)")
    parser.add_argument("--workloads", default=",".join(workloads.ALL), help="some of them (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="one drain (default: %(default)g)")
    parser.add_argument("--stamps", type=int, default=Scale.stamps, help="tasks for latency (default: %(default)d)")
    parser.add_argument("--idle", type=float, default=Scale.idle_s, help="seconds of MONITOR (default: %(default)g)")
    parser.add_argument("--settle", type=float, default=Scale.settle_s, help="seconds before it (default: %(default)g)")
    parser.add_argument("--out", type=Path, help="write peers.json, README.md and charts into this folder")
    parser.add_argument("--again", type=Path, metavar="JSON", help="measure nothing: make the report from this file")
    options = parser.parse_args()
    names = options.workloads.split(",")
    for kind, known, given in (("system", systems.BY_KEY, options.names), ("workload", workloads.ALL, names)):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"no {kind} {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    console = Console(highlight=False)
    if options.again:
        document = json.loads(options.again.read_text("utf-8"))
    else:
        begun = time.monotonic()

        def say(text: str) -> None:
            console.print(f"{time.monotonic() - begun:5.0f} s  {text}", style="dim", soft_wrap=True, markup=False)

        chosen = [system for system in systems.ALL if not options.names or system.key in options.names]
        scale = Scale(options.seconds, options.stamps, options.idle, options.settle)
        run = Run(chosen, names, scale, say)
        for number in range(options.rounds):
            run.round(number)
        document = run.document()
    console.print(terminal(document, less=False), terminal(document, less=True), sep="\n\n")
    for entry in document["skipped"]:
        console.print(f"{entry['name']} was left out: {entry['why']}", markup=False, soft_wrap=True)
    for entry in document["problems"]:
        console.print(f"{entry['system']}, {entry['workload']}: {entry['why']}", markup=False, soft_wrap=True)
    if options.out:
        write(document, options.out)
        console.print(f"written: {options.out}/README.md", markup=False)
    ours = [entry["system"] for entry in document["problems"]] + [entry["name"] for entry in document["skipped"]]
    return 1 if OURS in ours else 0


if __name__ == "__main__":
    sys.exit(main())
