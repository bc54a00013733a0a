"""The model behind docs/scale.md: it agrees with what can be worked out by hand."""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import sizing
from benchmarks.events import Clock, Line, Pause, Script, Story, tell
from benchmarks.simulation import Costs, Plant, simulate
from benchmarks.sizing import Wish, size, unevenness

FREE = Costs(0, 0, 0, 0, 1e-6, 1e-6, 1e-6, 1e-6)
COSTS = Costs(20e-6, 2e-6, 100e-6, 4e-6, 6e-6, 40e-6, 14e-6, 200e-6)


def test_waiting_in_line_is_as_long_as_theory_says() -> None:
    """Random arrivals, equal services: rho / (2 (1 - rho)) services (Pollaczek and Khinchine)."""
    clock, node, chance, waits = Clock(), Line(1), random.Random(7), list[float]()
    service, load = 0.001, 0.7

    def one() -> Story:
        came = clock.now
        yield Script(node, None, service)
        waits.append(clock.now - came - service)

    def all_of_them() -> Story:
        while True:
            yield Pause(chance.expovariate(load / service))
            tell(clock, one())

    tell(clock, all_of_them())
    clock.run(60.0)
    assert statistics.mean(waits) == pytest.approx(load / (2 * (1 - load)) * service, rel=0.05)


@pytest.mark.parametrize(("plant", "wanted"), [
    (Plant(processes=2, threads=16, wait_s=0.01), 3200),
    (Plant(processes=3, wait_s=0.01), 300),
    (Plant(processes=4, threads=8, wait_s=0.01, rate=1000), 1000),
    (Plant(processes=4, threads=8, wait_s=0.01, rate=1000, is_bulk=False), 1000),
])  # fmt: skip
def test_what_workers_can_do_and_no_more(plant: Plant, wanted: float) -> None:
    assert simulate(plant, FREE, 4.0).per_s == pytest.approx(wanted, rel=0.06)


def test_a_node_that_has_too_much_to_do_is_the_limit() -> None:
    plant = Plant(processes=40, threads=32, wait_s=0.001, rate=400_000)
    outcome = simulate(plant, COSTS, 1.0)
    most = 1 / (COSTS.bulk + COSTS.each + COSTS.step / 128)
    assert outcome.per_s < most
    assert outcome.busiest > 0.95
    assert outcome.waiting > 100_000
    spread = simulate(Plant(4, 8, 40, 32, wait_s=0.001, rate=400_000), COSTS, 1.0)
    assert (spread.per_s > 380_000, spread.busiest < 0.95) == (True, True)


def test_other_programs_and_few_cores_make_it_slower() -> None:
    alone = simulate(Plant(cores=2), COSTS, 0.3).per_s
    assert simulate(Plant(cores=2, speed=0.5), COSTS, 0.3).per_s == pytest.approx(alone / 2, rel=0.1)
    assert simulate(Plant(cores=1), COSTS, 0.3).per_s == pytest.approx(1 / (6e-6 + 4e-6 + 100e-6 / 128), rel=0.1)


def test_sizes_grow_with_what_is_wanted() -> None:
    small, large, single = size(Wish(10_000), COSTS), size(Wish(1e6), COSTS), size(Wish(1e6, is_bulk=False), COSTS)
    assert (small.nodes, small.partitions, small.uneven) == (1, 1, 1)
    assert 8 <= large.nodes < single.nodes
    assert large.processes == pytest.approx(1e6 * (0.01 + 40e-6) / 32 / sizing.SHARE, rel=0.01)
    assert unevenness(64, 8) < unevenness(16, 8)


def test_a_reader_can_ask_for_a_rate() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.sizing", "250000", "--wait", "0.02", "--threads", "64"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert "nodes" in said
    assert "wait_p99_ms" in said


def test_the_page_says_what_comes_out() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")
    said = re.findall(r"^\| ([\d,]+), (one by one|in bulk) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", page, re.M)
    assert len(said) == 7
    costs = sizing.over_network(sizing.known())
    for rate, how, *numbers in said:
        need = size(Wish(float(rate.replace(",", "")), is_bulk=how == "in bulk"), costs)
        assert [int(number) for number in numbers] == [*need[:4]], rate
