"""The document of a run, read: medians, spreads, and what stands beside distq."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.numbers import Spread, short, spread
from benchmarks.peers.metrics import ALL, Metric

Document = dict[str, Any]
OURS = "distq"


@dataclass(frozen=True)
class Row:
    """One system's figure."""

    key: str
    name: str
    value: Spread
    is_python_peer: bool


def rows(document: Document, metric: Metric) -> list[Row]:
    """All that have this figure, the best first."""
    found = [
        Row(system["key"], system["name"], spread(system["numbers"][metric.key]), system["is_python_peer"])
        for system in document["systems"]
        if system["numbers"].get(metric.key)
    ]
    return sorted(found, key=lambda row: row.value.median, reverse=not metric.less)


def bare(document: Document, metric: Metric) -> Row | None:
    """What the bare loop does, where it does something like it."""
    values = document["bare"]["numbers"].get(metric.key)
    return Row("", document["bare"]["name"], spread(values), False) if values else None


def best_python_peer(found: list[Row]) -> Row | None:
    """The first of them that is a Python peer of distq."""
    return next((row for row in found if row.is_python_peer), None)


def row_of(found: list[Row], key: str) -> Row | None:
    """That of one system."""
    return next((row for row in found if row.key == key), None)


def ratio(mine: Row | None, other: Row | None) -> str:
    """How many times the other's figure; nothing where one of them is missing or nought."""
    if mine is None or other is None or other.value.median == 0:
        return "–"
    times = mine.value.median / other.value.median
    return f"{times:,.0f} ×" if times >= 10 else f"{times:.1f} ×" if times >= 1 else f"{times:.2f} ×"


def overview(document: Document, wanted: Iterable[Metric]) -> tuple[list[str], list[list[str]]]:
    """Medians of these figures of all systems: the heads of the columns, and the rows."""
    metrics = [metric for metric in wanted if rows(document, metric) or bare(document, metric)]
    heads = ["", *(metric.short for metric in metrics)]
    lines = []
    for entry in [*document["systems"], document["bare"]]:
        cells = []
        for metric in metrics:
            values = entry["numbers"].get(metric.key)
            cells.append(short(spread(values).median) if values else "–")
        lines.append([entry["name"], *cells])
    return heads, lines


def terminal(document: Document, less: bool) -> Table:
    """For people who wait: what there should be more of, or less. Fits into 80 columns."""
    heads, lines = overview(document, [metric for metric in ALL if metric.less == less])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    table.title = "less is better" if less else "per second; more is better"
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left", no_wrap=True)
    for line in lines:
        is_ours, is_bare = line[0] == OURS, line[0] == document["bare"]["name"]
        table.add_row(*line, style="bold" if is_ours else "dim" if is_bare else "")
    return table
