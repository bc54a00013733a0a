"""The figures: what they are called, in which unit, and whether more is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One figure of a system."""

    key: str
    title: str
    short: str
    """For the head of a column."""
    unit: str
    text: str
    less: bool = False
    """Whether less is better."""


ALL = [
    Metric("enqueue_1", "Enqueueing, one at a time", "enqueue", "calls/s", "One producer, one call after another."),
    Metric(
        "enqueue_10",
        "Enqueueing, ten producers",
        "× 10",
        "calls/s",
        "Ten threads of one process, or ten coroutines where the system is made for coroutines.",
    ),
    Metric("bulk", "Enqueueing in bulk", "bulk", "tasks/s", "The system's own call for many tasks, where it has one."),
    Metric("drain_1", "Draining, one process", "drain 1", "tasks/s", "A backlog of no-op tasks, with stored results."),
    Metric("drain_2", "Draining, two processes", "drain 2", "tasks/s", "The same with two worker processes."),
    Metric("drain_4", "Draining, four processes", "drain 4", "tasks/s", "The same with four worker processes."),
    Metric(
        "sleep",
        "Draining tasks of 10 ms, 20 slots",
        "10 ms",
        "tasks/s",
        "Tasks that wait for 10 ms; two processes with ten slots each, so 2,000/s is the most that can be. "
        "Systems that run one task at a time in each process are left out.",
    ),
    Metric(
        "latency_p50",
        "From call to start, median",
        "p50 ms",
        "ms",
        "An idle system with two processes, one task every 10 to 40 ms.",
        less=True,
    ),
    Metric(
        "latency_p99",
        "From call to start, 99 %",
        "p99 ms",
        "ms",
        "The same tasks: one in a hundred is later.",
        less=True,
    ),
    Metric(
        "memory",
        "Memory of four processes",
        "memory MiB",
        "MiB",
        "PSS of the whole tree of worker processes, after they drained their queue.",
        less=True,
    ),
    Metric(
        "idle",
        "Commands of idle workers",
        "idle cmd/s",
        "commands/s",
        "What four idle processes send to the broker, as MONITOR shows it, without what scripts do.",
        less=True,
    ),
]

BY_KEY = {metric.key: metric for metric in ALL}
