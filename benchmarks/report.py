"""Our own figures as a document of plain values, and what is made of it: a page, `figures.json` and charts."""

from __future__ import annotations

import datetime
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.chart import bars
from benchmarks.figure import Figure
from benchmarks.numbers import short, spread

Document = dict[str, Any]

INTRODUCTION = (
    "Measured on {date} by `make bench`, which makes this page, its charts and [figures.json](figures.json): {rounds}. "
    "Each figure stands beside one of the same run: a bare loop without features, redis-py's own command, the ideal. "
    "Compare those: absolute numbers are those of this machine at this moment. "
    "[How they are measured](../performance.md#how-it-is-measured) · [beside other task queues](README.md)"
)
UNREACHED = "**not reached**"


def document(
    found: Mapping[str, tuple[str, Sequence[Figure]]], rounds: int, calibrations: Sequence[Mapping[str, float]]
) -> Document:
    """`found`: benchmark → (what it is about, its figures); `calibrations`: before the first and after each."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine.describe(),
        "calibrations": list(calibrations),
        "rounds": rounds,
        "benchmarks": [
            {
                "name": name,
                "about": about,
                "figures": [
                    {**asdict(figure), "is_reached": figure.is_reached, "wanted": figure.wanted} for figure in figures
                ],
            }
            for name, (about, figures) in found.items()
        ],
    }


def write(document: Document, folder: Path) -> None:
    """`figures.json`, `figures.md` and the charts `own-*.svg`; charts of an earlier run go."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("own-*.svg"):
        old.unlink()
    drawn = charts(document)
    for name, text in drawn.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "figures.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "figures.md").write_text(markdown(document), "utf-8")


def charts(document: Document) -> dict[str, str]:
    """Name of the file → SVG: one for each benchmark in which something stands beside something else."""
    drawn = {}
    for benchmark in document["benchmarks"]:
        lines = _lines(benchmark["figures"])
        if len(lines) > 1:
            unit = benchmark["figures"][0]["unit"]
            note = f"{unit}; line: smallest to largest of the rounds"
            drawn[_chart(benchmark)] = bars(benchmark["about"], note, lines)
    return drawn


def _chart(benchmark: Mapping[str, Any]) -> str:
    return f"own-{benchmark['name']}.svg"


def _lines(figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any, str]]:
    """Bars of all figures in the unit of the first, each with the bare one above it."""
    lines = []
    for figure in figures:
        if figure["unit"] != figures[0]["unit"]:
            continue
        if figure["bare"]:
            lines.append((figure["bare_name"], spread(figure["bare"]), "bare"))
        lines.append((figure["what"], spread(figure["samples"] or [figure["value"]]), "ours"))
    return lines


def markdown(document: Document) -> str:
    """The page."""
    number = document["rounds"]
    rounds = f"medians of {number} rounds or more" if number > 1 else "one round: without repetition it proves little"
    parts = [
        "# The figures of distq",
        _wrapped(INTRODUCTION.format(date=document["date"], rounds=rounds)),
        "## In one table",
        _table(document),
        "## The machine",
        "\n".join(f"- {line}" for line in about_machine(document["machine"], document["calibrations"])),
        "## Charts",
        *(
            f"![{benchmark['about']}]({_chart(benchmark)})"
            for benchmark in document["benchmarks"]
            if _chart(benchmark) in charts(document)
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def _table(document: Document) -> str:
    lines = ["| what | measured | beside it, in the same run | wanted |", "| --- | --: | --- | --- |"]
    for benchmark in document["benchmarks"]:
        for figure in benchmark["figures"]:
            wanted = figure["wanted"] + ("" if figure["is_reached"] else f", {UNREACHED}")
            value = f"{short(figure['value'])} {figure['unit']}"
            lines.append(f"| {figure['what']} | {value} | {figure['beside']} | {wanted} |")
    return "\n".join(lines)


def about_machine(facts: Mapping[str, Any], calibrations: Sequence[Mapping[str, float]]) -> list[str]:
    """Lines for people."""
    libraries = ", ".join(f"{name} {number}" for name, number in facts["libraries"].items())
    loops, pings, loads = ([found[name] for found in calibrations] for name in ("loop_ms", "ping_us", "load"))
    return [
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_mib']:,} MiB, {facts['system']}",
        f"Python {facts['python']}, {facts['server']}, {libraries}",
        f"a fixed loop of plain Python: {_range(loops)} ms; a raw PING over a unix socket: {_range(pings)} µs; "
        f"load: {', '.join(f'{load:.1f}' for load in loads)}",
    ]


def _range(values: Sequence[float]) -> str:
    found = spread(values)
    around = f" ({short(found.low)} to {short(found.high)})" if len(values) > 1 else ""
    return f"{short(found.median)}{around}"
