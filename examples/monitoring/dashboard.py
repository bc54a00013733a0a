"""Makes the Grafana dashboard, `grafana/distq.json`, from the list of its panels.

    python -m examples.monitoring.dashboard            writes it
    python -m examples.monitoring.dashboard --check    says whether it is up to date

Numbers that a host counts itself are added up over hosts. Those that the broker knows are the same on every host that
serves a queue: the largest is taken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("grafana") / "distq.json"
WIDTH = 24
"""Of Grafana's grid."""

HOST = 'job=~"$job",instance=~"$instance"'
TYPE = f'{HOST},type=~"$type"'
QUEUE = 'job=~"$job",queue=~"$queue"'
RATE = "[$__rate_interval]"

PROCESSED = f"distributedq_processed_total{{{TYPE}}}"
BUCKETS = f"distributedq_task_duration_seconds_bucket{{{TYPE}}}"
FAILED = f'distributedq_processed_total{{{TYPE},status="failed"}}'
EVENTS = f'distributedq_tasks_total{{{QUEUE},type=~"$type"}}'
ENDINGS = f'distributedq_tasks_total{{{QUEUE},type=~"$type",state=~"completed|dead|cancelled|expired"}}'
BUSY, TOTAL = (f'distributedq_worker_slots{{{HOST},state="{state}"}}' for state in ("busy", "total"))


def of_queues(name: str, by: str = "queue") -> str:
    """What the broker knows of each queue."""
    return f"max by (job, {by}) (distributedq_{name}{{{QUEUE}}})"


def quantile(q: float, by: str = "le") -> str:
    """Of the durations of attempts."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({BUCKETS}{RATE})))"


def per_type(*labels: str) -> str:
    """Ended attempts a second."""
    return f"sum by ({', '.join(labels)}) (rate({PROCESSED}{RATE}))"


Query = tuple[str, str]
"""An expression, and what the legend calls each of its series."""


@dataclass(frozen=True)
class Panel:
    """One of the dashboard."""

    title: str
    about: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    steps: Sequence[tuple[str, float]] = ()
    """Colours, each from a value on; green before."""
    more: dict[str, Any] = field(default_factory=dict)


def stat(title: str, about: str, expr: str, unit: str = "short", steps: Sequence[tuple[str, float]] = ()) -> Panel:
    """One number."""
    return Panel(title, about, [(expr, "")], "stat", unit, width=4, height=4, steps=steps)


NOW = [
    stat("Attempts ended", "Attempts that ended in a second, on all hosts.", f"sum(rate({PROCESSED}{RATE}))", "ops"),
    stat(
        "Failed", "Attempts that ended for good without success, of all that ended.",
        f"sum(rate({FAILED}{RATE})) / (sum(rate({PROCESSED}{RATE})) > 0)", "percentunit",
        [("orange", 0.01), ("red", 0.05)],
    ),
    stat("Waiting", "Tasks that are ready.", f"sum({of_queues('waiting_tasks', 'queue, priority')})"),
    stat(
        "Oldest waiting", "How long the oldest task that could run has been waiting.",
        f"max({of_queues('oldest_task_age_seconds')})", "s", [("orange", 60), ("red", 300)],
    ),
    stat("Running", "Tasks that workers hold.", f"sum({of_queues('running_tasks')})"),
    stat("Dead letters", "Tasks that have given up.", f"sum({of_queues('dead_tasks')})", steps=[("orange", 1)]),
    stat(
        "Total processed", "Tasks that have ended since the queues were made: by the broker's ledger.",
        f"sum(max by (job, queue, state, type) ({ENDINGS}))",
    ),
    stat("Hosts", "Worker hosts whose page could be read.", 'sum(up{job=~"$job"})'),
    stat(
        "Seats busy", "Of all seats of all hosts.", f"sum({BUSY}) / sum({TOTAL})", "percentunit",
        [("orange", 0.8), ("red", 0.95)],
    ),
    stat("Scheduled", "Delayed tasks and retries: they wait for their time.", f"sum({of_queues('delayed_tasks')})"),
    stat(
        "Limited", "Of those that wait: for a rate, another limit or a pause, not for a worker.",
        f"sum({of_queues('limited_tasks')})",
    ),
    stat(
        "Ledger", "Tasks that are missing by the broker's ledger. Anything but 0: run `distq audit`.",
        f"sum(abs({of_queues('ledger_difference')}))", steps=[("red", 1)],
    ),
]  # fmt: skip

THROUGHPUT = [
    Panel(
        "Attempts by status", "Ended attempts in a second.", [(per_type("status"), "{{status}}")], unit="ops",
        stacked=True,
    ),
    Panel("Attempts by type", "Ended attempts in a second.", [(per_type("type"), "{{type}}")], unit="ops", width=10),
    Panel(
        "Status distribution", "Ended attempts in the time shown.",
        [(f"sum by (status) (increase({PROCESSED}[$__range]))", "{{status}}")], "piechart", width=6,
    ),
    Panel(
        "What happens to tasks", "By the broker's ledger: enqueued, completed, retried, dead and so on.",
        [(f"sum by (state) (max by (job, queue, state, type) (rate({EVENTS}{RATE})))", "{{state}}")], unit="ops",
        width=12,
    ),
    Panel(
        "Attempts by host", "Ended attempts in a second.", [(per_type("instance"), "{{instance}}")], unit="ops",
        stacked=True, width=12,
    ),
]  # fmt: skip

DURATIONS = [
    Panel(
        "P50, P95, P99", "Of the durations of attempts, all types together.",
        [(quantile(0.5), "P50"), (quantile(0.95), "P95"), (quantile(0.99), "P99")], unit="s",
    ),
    Panel(
        "P95 by type", "Nineteen of twenty attempts are quicker.", [(quantile(0.95, "le, type"), "{{type}}")], unit="s"
    ),
    Panel(
        "Distribution", "How many attempts took how long.", [(f"sum by (le) (increase({BUCKETS}{RATE}))", "{{le}}")],
        "heatmap", "s",
    ),
]  # fmt: skip

QUEUES = [
    Panel(
        "Depths", "Tasks in each place of the broker.",
        [('max by (queue) (distributedq_queue_depth{job=~"$job"})', "{{queue}}")],
    ),
    Panel(
        "Waiting", "Tasks that are ready, by queue and priority.",
        [(of_queues("waiting_tasks", "queue, priority"), "{{queue}} {{priority}}")], stacked=True,
    ),
    Panel(
        "Oldest waiting", "How long the oldest task that could run has been waiting.",
        [(of_queues("oldest_task_age_seconds"), "{{queue}}")], unit="s",
    ),
    Panel("Running", "Tasks that workers hold.", [(of_queues("running_tasks"), "{{queue}}")], stacked=True, width=6),
    Panel("Limited", "Tasks that wait for a limit or a pause.", [(of_queues("limited_tasks"), "{{queue}}")], width=6),
    Panel("Dead letters", "Tasks that have given up.", [(of_queues("dead_tasks"), "{{queue}}")], width=6),
    Panel(
        "Schedule lag", "How long the next delayed task or tick has been due.",
        [(of_queues("schedule_lag_seconds"), "{{queue}}")], unit="s", width=6,
    ),
]  # fmt: skip

HOSTS = [
    Panel(
        "Hosts", "Those that are there, and as many as there should be for what waits.",
        [('sum(up{job=~"$job"})', "there"), ('max(distributedq_wanted_workers{job=~"$job"})', "wanted")], width=6,
    ),
    Panel(
        "Seats", "What the hosts can run at a time, and do.",
        [(f"sum by (state) (distributedq_worker_slots{{{HOST}}})", "{{state}}")], width=6,
    ),
    Panel(
        "Busy by host", "Part of its seats.",
        [(f"sum by (instance) ({BUSY}) / sum by (instance) ({TOTAL})", "{{instance}}")], unit="percentunit", width=6,
    ),
    Panel(
        "Memory", "Of the supervisors, and of all processes below them.",
        [(f"sum by (instance, process) (distributedq_memory_bytes{{{HOST}}})", "{{instance}} {{process}}")],
        unit="bytes", width=6,
    ),
    Panel(
        "Restarts", "Worker processes that were replaced, and why. `recycled` and `reload` are meant.",
        [(f"sum by (reason) (increase(distributedq_child_restarts_total{{{HOST}}}{RATE}))", "{{reason}}")],
    ),
    Panel(
        "Trouble with the broker", "Connections made again, and leases that were lost to others.",
        [
            (f"sum(increase(distributedq_reconnects_total{{{HOST}}}{RATE}))", "reconnects"),
            (f"sum(increase(distributedq_lease_losses_total{{{HOST}}}{RATE}))", "lease losses"),
        ],
    ),
    Panel(
        "Releases", "What runs where.",
        [(f"sum by (instance, version, python, server) (distributedq_build_info{{{HOST}}})", "")], "table",
    ),
]  # fmt: skip

ROWS = {"Now": NOW, "Throughput": THROUGHPUT, "Durations": DURATIONS, "Queues": QUEUES, "Hosts": HOSTS}

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
REDUCED = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
LINES = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}


def shown(panel: Panel) -> dict[str, Any]:
    """How Grafana draws it."""
    options: dict[str, dict[str, Any]] = {
        "stat": {**REDUCED, "colorMode": "value", "graphMode": "area", "textMode": "value", "justifyMode": "auto"},
        "timeseries": {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
        "piechart": {**REDUCED, "pieType": "donut", "legend": {**LEGEND, "values": ["percent"]}},
        "heatmap": {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"mode": "scheme", "scheme": "Blues"}},
        "table": {"showHeader": True, "cellHeight": "sm"},
    }
    steps = [{"color": "green", "value": None}, *({"color": color, "value": value} for color, value in panel.steps)]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        defaults["custom"] = {**LINES, "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"}}
    found: dict[str, Any] = {"options": options[panel.kind], "fieldConfig": {"defaults": defaults, "overrides": []}}
    if panel.kind == "table":
        hidden = {"excludeByName": {"Time": True, "Value": True}}
        found["transformations"] = [{"id": "organize", "options": hidden}]
    return found


def targets(panel: Panel) -> Iterator[dict[str, Any]]:
    """What Prometheus is asked."""
    for letter, (expr, legend) in zip("ABC", panel.queries, strict=False):
        target: dict[str, Any] = {
            "refId": letter,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "datasource": SOURCE,
        }
        if panel.kind == "table":
            target |= {"format": "table", "instant": True, "range": False}
        if panel.kind == "heatmap":
            target |= {"format": "heatmap"}
        yield target


def panels() -> Iterator[dict[str, Any]]:
    """All, each row below the one before; within a row from left to right."""
    number, y = 0, 0
    for title, row in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "panels": [], "gridPos": box(0, y, WIDTH, 1)}
        x, y = 0, y + 1
        for panel in row:
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            number += 1
            place = {"id": number, "type": panel.kind, "title": panel.title, "description": panel.about}
            yield place | {
                "datasource": SOURCE, "targets": list(targets(panel)), "gridPos": box(x, y, panel.width, panel.height),
            } | shown(panel)  # fmt: skip
            x += panel.width
        y += row[-1].height


def box(x: int, y: int, width: int, height: int) -> dict[str, int]:
    """A place on the grid."""
    return {"x": x, "y": y, "w": width, "h": height}


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """One that is chosen at the top: some values of a label, or all."""
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query, "query": query,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The whole."""
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
        variable("job", "Job", "label_values(distributedq_processed_total, job)"),
        variable("queue", "Queue", 'label_values(distributedq_tasks_total{job=~"$job"}, queue)'),
        variable("type", "Type", 'label_values(distributedq_processed_total{job=~"$job"}, type)'),
        variable("instance", "Host", 'label_values(distributedq_processed_total{job=~"$job"}, instance)'),
    ]
    return {
        "uid": "distq", "title": "distq", "tags": ["distq"], "schemaVersion": 39, "version": 1, "editable": True,
        "time": {"from": "now-30m", "to": "now"}, "refresh": "10s", "timezone": "browser", "graphTooltip": 1,
        "templating": {"list": variables}, "annotations": {"list": []}, "links": [], "panels": list(panels()),
    }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the file; 1 if it is not up to date."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" not in arguments:
        FILE.write_text(text, "utf-8")
    is_current = FILE.read_text("utf-8") == text
    print(FILE.name, "is up to date" if is_current else "is not: python -m examples.monitoring.dashboard")
    return 0 if is_current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
