"""The report for a sceptic, made from the document of a run: `docs/benchmarks/README.md` and its charts."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chart import bars
from benchmarks.numbers import short, spread
from benchmarks.peers.metrics import ALL, BY_KEY, Metric
from benchmarks.peers.table import OURS, Row, bare, best_python_peer, overview, ratio, row_of, rows

Document = dict[str, Any]
CHARTS = {
    "drain": "drain_2",
    "enqueue": "enqueue_1",
    "enqueue-10": "enqueue_10",
    "bulk": "bulk",
    "latency": "latency_p99",
    "memory": "memory",
    "idle": "idle",
}
"""Files, and the figures that they show."""

METHOD = [
    "**The same work for all.** A no-op task with one number as its argument, which it gives back. Its result is "
    "stored where the system stores results, and one result is read back after each drain. The handler counts "
    "itself in a mapped file (elsewhere than in Python: in a file): that costs each system some tenths of a "
    "microsecond for each task, and nothing in the broker.",
    "**Each system by itself.** Its own virtual environment or Node folder with pinned versions, and its own broker "
    "process, fresh for each measurement, which keeps nothing on disk and listens on a port of the loopback "
    "interface. Producer, workers and broker share the machine's cores, so a system that burdens its broker has "
    "less left for its tasks.",
    "**Tuned as their documentation says**; [the table above](#what-each-system-promises) says how. Where a setting "
    "would trade safety for speed, the system keeps its default.",
    "**Enqueueing** is timed inside of the producer, after a warm-up, while no worker runs.",
    "**Draining**: the workers start on an empty queue and are warmed up until every process has run tasks. Then "
    "they are halted (SIGSTOP), the queue is filled, and they go on (SIGCONT). The rate is that between the first "
    "10 % and 95 % of the tasks, so start, producer and the last stragglers are not in it.",
    "**From call to start**: one task every 10 to 40 ms (by chance, but the same for all) on an idle system with "
    "two processes. The producer reads the clock just before it calls, the handler as the first thing that it does.",
    "**Memory** is PSS: what several processes share is counted once. **Commands of idle workers** are counted by "
    "MONITOR.",
    "**The bare loop** is no task queue: one script that settles a batch and reserves the next in a loop of each "
    "process, redis-py's own `rpush`, a bare blocking pop. It has no features and keeps no promise of any kind. It "
    "shows what the machine can do.",
    "**Repetitions.** In each round every workload is measured for one system after another, beginning with another "
    "one each time. The figures are medians; the smallest and largest value stand beside them. Sizes are chosen for "
    "each system by a quick first look, so that each measurement takes about the same time.",
]


def write(document: Document, folder: Path) -> None:
    """`peers.json`, `README.md` and the charts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    drawn = charts(document)
    for name, text in drawn.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "README.md").write_text(markdown(document, list(drawn)), "utf-8")


def charts(document: Document) -> dict[str, str]:
    """Name of the file → SVG."""
    drawn = {}
    for name, key in CHARTS.items():
        metric = BY_KEY[key]
        found = rows(document, metric)
        if found:
            lines = [(row.name, row.value, "ours" if row.key == OURS else "bar") for row in found]
            floor = bare(document, metric)
            if floor:
                lines.insert(0, (floor.name, floor.value, "bare"))
            better = "less is better" if metric.less else "more is better"
            drawn[f"{name}.svg"] = bars(metric.title, f"{metric.unit}, {better}; line: smallest to largest", lines)
    return drawn


def markdown(document: Document, drawn: Sequence[str]) -> str:
    """The page."""
    parts = [
        "# distq beside other task queues",
        _wrapped(
            f"Measured on {document['date']} by `make bench-peers`, which makes this page, its charts and "
            "[peers.json](peers.json). Do not compare the numbers with those of another machine: compare what stands "
            "in one table, or run it on yours."
        ),
        "## In one table",
        f"{_medians(document)} Each figure is explained [below](#the-figures).",
        _table(*overview(document, ALL)),
        *(f"![{BY_KEY[CHARTS[name.removesuffix('.svg')]].title}]({name})" for name in drawn),
        "## distq beside the fastest Python peer, and Sidekiq",
        _wrapped(
            "How many times the other's figure. Where less is better (time, memory, commands), a number below 1 is in "
            "distq's favour."
        ),
        _comparison(document),
        "## What each system promises",
        _wrapped(
            "Speed is easy for those who may lose a task. This is what becomes of a task whose worker process is "
            "killed (`kill -9`, or by the kernel when memory runs out) while it runs, **in the configuration that was "
            "measured**, as the documentation and the code of that version say."
        ),
        _promises(document),
        "## Method",
        *map(_wrapped, METHOD),
        "## The machine",
        _machine(document),
        "## The figures",
        *_figures(document),
        "## What is missing",
        _left_out(document),
    ]
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def _medians(document: Document) -> str:
    number = _rounds(document)
    return f"Medians of {number} rounds." if number > 1 else "From one round: without repetition it proves little."


def _rounds(document: Document) -> int:
    return len(document["machine"]["loop_ms"])


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """The first `left` columns are words, the others numbers."""
    ruler = ["---"] * left + ["--:"] * (len(heads) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ruler, *lines])


def _comparison(document: Document) -> str:
    lines = []
    for metric in ALL:
        found = rows(document, metric)
        ours, floor = row_of(found, OURS), bare(document, metric)
        if ours is None:
            continue
        peer, sidekiq = best_python_peer(found), row_of(found, "sidekiq")
        lines.append(
            [
                f"{metric.title}, {metric.unit}",
                short(ours.value.median),
                ratio(ours, floor),
                f"{short(peer.value.median)} ({peer.name})" if peer else "–",
                ratio(ours, peer),
                short(sidekiq.value.median) if sidekiq else "–",
                ratio(ours, sidekiq),
            ]
        )
    heads = ["", "distq", "to the bare loop", "best Python peer", "distq to it", "Sidekiq", "distq to it"]
    return _table(heads, lines)


def _promises(document: Document) -> str:
    lines = [
        [
            system["name"],
            ", ".join(f"{name} {version}" for name, version in system["versions"].items()),
            system["tuning"],
            "yes" if system["stores_results"] else "**none**",
            system["killed"],
        ]
        for system in document["systems"]
    ]
    heads = ["", "versions", "tuning", "results stored", "`kill -9` of the worker in mid-task"]
    return _table(heads, lines, left=5)


def _machine(document: Document) -> str:
    machine, scale = document["machine"], document["scale"]
    loop = spread(machine["loop_ms"])
    return "\n".join(
        [
            f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_mib']:,} MiB, {machine['system']}",
            f"- Python {machine['python']}, {machine['server']}",
            f"- A fixed loop of plain Python at the beginning of each round: {short(loop.median)} ms "
            f"({short(loop.low)} to {short(loop.high)}). If these differ much, the machine was not quiet.",
            f"- Load before the first round and after each: {', '.join(f'{load:.1f}' for load in machine['load'])}",
            f"- {_rounds(document)} rounds; drains of about {scale['seconds']:g} s, {scale['stamps']} tasks for the "
            f"time from call to start, {scale['idle_s']:g} s for idle workers",
        ]
    )


def _figures(document: Document) -> list[str]:
    parts = []
    for metric in ALL:
        found = rows(document, metric)
        if not found:
            continue
        floor = bare(document, metric)
        parts += [f"### {metric.title}", _wrapped(f"{metric.text} {_direction(metric)}"), _figure(metric, found, floor)]
    return parts


def _direction(metric: Metric) -> str:
    return "Less is better." if metric.less else "More is better."


def _figure(metric: Metric, found: list[Row], floor: Row | None) -> str:
    peer, sidekiq = best_python_peer(found), row_of(found, "sidekiq")
    lines = [
        [
            f"**{row.name}**" if row.key == OURS else row.name,
            short(row.value.median),
            f"{short(row.value.low)} – {short(row.value.high)}",
            ratio(row, peer),
            ratio(row, sidekiq),
        ]
        for row in [*([floor] if floor else []), *found]
    ]
    best = f"to {peer.name}, the best Python peer" if peer else "to the best Python peer"
    return _table(["", metric.unit, "smallest – largest", best, "to Sidekiq"], lines)


def _left_out(document: Document) -> str:
    lines = [f"- {entry['name']}: {entry['why']}" for entry in document["skipped"]]
    lines += [
        f"- {entry['system']}, {entry['workload']}, in one round: {entry['why']}" for entry in document["problems"]
    ]
    lines += [
        "- Systems without a call for many tasks have no figure in bulk, and those with one task at a time in each "
        "process none for tasks of 10 ms.",
        "- Brokers on other machines: every round trip costs more there, and those who make fewer gain.",
        "- Large arguments, failing tasks, a broker that writes to disk.",
    ]
    return "\n".join(lines)
