"""What the figures of `distq bench` mean, and the arithmetic behind them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from distq.bench.bottleneck import Found, judge
from distq.bench.measure import machine_computed, share, window, workers_share

MS = 1_000_000


def found(**told: Any) -> Found:
    usual: dict[str, Any] = {
        "broker": "redis://localhost:6379/0", "server": "valkey 9.1.2", "is_here": False, "cores": 8, "processes": 2,
        "tasks": 20_000, "ping_us": 50.0, "call_per_s": 10_000.0, "call_cpu_us": 30.0, "bulk_per_s": 100_000.0,
        "drain_per_s": 50_000.0, "broker_busy": 0.2, "workers_busy": 0.3, "machine_busy": 0.2, "start_p50_ms": 0.5,
        "start_p99_ms": 1.0,
    }  # fmt: skip
    return Found(**(usual | told))


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"broker_busy": 0.93, "workers_busy": 0.95}, "broker", "busy 93% of the time"),
        ({"broker_busy": 0.5, "workers_busy": 0.9}, "workers", "up to the 8 cores here"),
        ({"broker_busy": 0.5, "workers_busy": 0.9, "processes": 8}, "workers", "More machines will help"),
        (
            {"broker_busy": 0.6, "workers_busy": 0.6, "is_here": True, "cores": 2},
            "cores",
            "broker and workers keep 1.8",
        ),
        ({"workers_busy": 0.25, "processes": 8, "cores": 2}, "cores", "of its 2, workers keep 2.0 busy"),
        ({"machine_busy": 0.99}, "cores", "workers keep 0.6 busy, and other programs 7.3"),
        ({"broker_busy": 0.6, "workers_busy": 0.39, "processes": 1, "is_here": True}, "turns", "waits 61%"),
        ({}, "network", "a worker waits 70% of the time"),
        ({"broker_busy": None}, "network", "How busy the broker is, it does not tell"),
        ({"broker_busy": None, "machine_busy": None, "workers_busy": 0.9}, "workers", "busy 90%"),
    ],
)
def test_the_bottleneck_is_what_is_always_busy_or_waited_for(told: dict[str, Any], kind: str, words: str) -> None:
    limit = judge(found(**told))
    assert limit.kind == kind
    assert words in limit.text
    assert limit.text.rstrip(")")[-1] == "."


def test_the_window_leaves_out_the_begin_the_end_and_the_time_before_all_are_at_work() -> None:
    samples = [(1, at * MS, 0) for at in range(100)] + [(2, at * MS, 0) for at in range(30, 100)]
    begun, ended = window(samples)
    assert begun == 30 * MS
    assert 90 * MS <= ended < 99 * MS


def test_a_process_that_begins_when_all_is_nearly_over_does_not_count() -> None:
    samples = [(1, at * MS, 0) for at in range(100)] + [(2, 98 * MS, 0)]
    assert window(samples)[0] == 10 * MS


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_samples_make_a_window_too(number: int) -> None:
    begun, ended = window([(pid, 5 * MS, 0) for pid in range(number)])
    assert begun < ended


def test_workers_are_busy_for_the_part_that_they_compute_in_the_window() -> None:
    idle_before = [(1, 0, 0), (2, 0, 0)]
    samples = [(1, at * MS, at * MS // 2) for at in range(10, 20)] + [(2, at * MS, at * MS) for at in range(10, 20)]
    assert workers_share(idle_before + samples, 10 * MS, 20 * MS) == pytest.approx(0.75)
    assert workers_share([], 0, 1) == 0


def test_the_share_of_something_that_tells_now_and_then() -> None:
    looks = [(0.0, 0.0), (1.0, 0.1), (2.0, 0.9), (3.0, 1.0)]
    assert share(looks, 1.0, 2.0) == pytest.approx(0.8)
    assert share(looks, 1.5, 1.6) == pytest.approx(0.8), "between two looks: as between them"
    assert share(looks, -1.0, 9.0) == pytest.approx(1 / 3)
    assert share([(1.0, math.nan), (2.0, math.nan)], 1.0, 2.0) is None
    assert share([(1.0, 0.5)], 0.0, 2.0) is None
    assert share([], 0.0, 1.0) is None


def test_the_machine_computes_more_and_more() -> None:
    before = machine_computed()
    sum(range(3_000_000))
    assert math.isnan(before) or machine_computed() > before
