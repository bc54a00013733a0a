"""From what one node does to a million tasks a second: how many nodes, partitions, processes and connections, how much
memory and network, and what waits while a node is gone.

`python -m benchmarks.sizing 250000 --wait 0.02 --threads 64` answers for a rate.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.figure import Figure
from benchmarks.simulation import MOST, PACE_S, Costs, Outcome, Plant, simulate
from distq.broker import cluster, keys
from distq.config import WorkerConfig
from distq.message import partitions as names_of

FIGURES = Path(__file__).parents[1] / "docs" / "benchmarks" / "scale.json"
SHARE = 0.7
"""Of a node's time that is planned to be used."""
PER_NODE = 2
"""Partitions. A step takes from one, so with more of them batches are smaller."""
TASK_BYTES, RESULT_BYTES = 115, 120
"""In the broker, of a task with few arguments that waits (measured by `produce`), and of a small result."""
WIRE_BYTES = 250
"""Of a task with few arguments: to the broker, to a worker, and its verdict."""
LEASE_S, FAILOVER_S = 15.0, 20.0
"""The default lease; and how long a cluster takes with its default node timeout to replace a node."""
PROCESSES_OF_HOST = 16


@dataclass(frozen=True)
class Wish:
    """What is wanted."""

    rate: float
    wait_s: float = 0.01
    """Of each task."""
    threads: int = 32
    is_bulk: bool = True
    result_ttl_s: float = 600.0


class Size(NamedTuple):
    """What that needs."""

    nodes: int
    partitions: int
    processes: int
    connections: int
    """To each node."""
    uneven: float
    """The busiest node's part of the work, as a multiple of an equal one, if slots stay where they are by default."""
    results_gb: float
    """What results take, on all nodes together."""
    stalled_gb: float
    """What waits takes, for each minute in which no worker runs."""
    network_gbit: float
    gone: float
    """Part of the calls that wait while a node is replaced."""
    backlog: float
    """Tasks that wait when it is."""
    catch_up_s: float
    """Until they do not any more."""


def size(wish: Wish, costs: Costs) -> Size:
    """By arithmetic."""
    cpu_s = costs.thread if wish.threads > 1 else costs.work
    pace_s = max(cpu_s, (wish.wait_s + cpu_s) / wish.threads)
    batch = max(1, min(MOST, int(PACE_S / pace_s)))
    life_s = (costs.bulk if wish.is_bulk else costs.call) + costs.each + costs.step / batch
    nodes = max(1, math.ceil(wish.rate * life_s / SHARE))
    partitions = 1 if nodes == 1 else PER_NODE * nodes
    processes = math.ceil(wish.rate * pace_s / SHARE)
    host = WorkerConfig("app", PROCESSES_OF_HOST, wish.threads)
    of_node = partitions // nodes
    hosts = math.ceil(processes / PROCESSES_OF_HOST / nodes)
    gone = 1 / nodes
    backlog = wish.rate * gone * FAILOVER_S
    return Size(
        nodes=nodes,
        partitions=partitions,
        processes=processes,
        connections=hosts * host.connections(of_node, is_cluster=nodes > 1),
        uneven=unevenness(partitions, nodes),
        results_gb=wish.rate * wish.result_ttl_s * RESULT_BYTES / 1e9,
        stalled_gb=wish.rate * 60 * TASK_BYTES / 1e9,
        network_gbit=wish.rate * WIRE_BYTES * 8 / 1e9,
        gone=gone,
        backlog=backlog,
        catch_up_s=backlog / (wish.rate * gone * (1 / SHARE - 1)),
    )


def unevenness(partitions: int, nodes: int) -> float:
    """Slots are dealt out to nodes in equal ranges; a partition's slot follows from its name."""
    width = cluster.SLOTS / nodes
    found = Counter(
        int(cluster.slot_of(keys.prefix("shop", name).encode()) // width) for name in names_of("bulk", partitions)
    )
    return max(found.values()) * nodes / partitions


def run(wish: Wish, found: Size, costs: Costs, seconds: float) -> Outcome:
    """By the model: partitions lie evenly, and each host serves those of one node."""
    plant = Plant(
        nodes=found.nodes, partitions=found.partitions, processes=found.processes, threads=wish.threads,
        wait_s=wish.wait_s, rate=wish.rate, is_bulk=wish.is_bulk,
    )  # fmt: skip
    return simulate(plant, costs, seconds)


WISHES = (
    Wish(1_000), Wish(10_000), Wish(100_000), Wish(1_000_000),
    Wish(1_000, is_bulk=False), Wish(10_000, is_bulk=False), Wish(100_000, is_bulk=False),
    Wish(1_000_000, is_bulk=False),
)  # fmt: skip


def figures(costs: Costs, wishes: Sequence[Wish] = WISHES) -> list[Figure]:
    """Each wish: what it needs, and what the model says of that."""
    found = []
    trip = over_network(costs)
    for wish in wishes:
        need = size(wish, trip)
        outcome = run(wish, need, trip, _seconds(wish))
        how = "in bulk" if wish.is_bulk else "one by one"
        nodes = f"{need.nodes} node{'s' if need.nodes > 1 else ''}"
        text = (
            f"{nodes}, {need.partitions} partitions, {need.processes:,} processes × {wish.threads} threads, "
            f"{need.connections:,} connections to each; waits {outcome.wait_p50_ms:.1f} ms, "
            f"p99 {outcome.wait_p99_ms:.1f}; busiest node {outcome.busiest:.0%}"
        )
        found.append(Figure(f"{wish.rate:,.0f} tasks/s of {wish.wait_s * 1000:g} ms, {how}", outcome.per_s, "/s", text))
    return found


def _seconds(wish: Wish) -> float:
    """As long as a simulation of it does not take too long."""
    return 0.5 if wish.is_bulk else max(0.05, min(1.0, 20_000 / wish.rate))


def over_network(costs: Costs) -> Costs:
    """Over a network, not a unix socket."""
    return costs._replace(trip=max(costs.trip, 0.0002))


def known() -> Costs:
    """Those of the last run that is in the repository."""
    document = json.loads(FIGURES.read_text("utf-8"))
    named = {figure["what"]: figure["value"] / 1e6 for each in document["benchmarks"] for figure in each["figures"]}
    return Costs(*(named[f"cost: {name}"] for name in Costs._fields))


def main() -> None:
    """Answers for one rate."""
    parser = argparse.ArgumentParser("python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("rate", type=float, help="tasks per second")
    parser.add_argument("--wait", type=float, default=0.01, metavar="SECONDS", help="each task waits so long")
    parser.add_argument("--threads", type=int, default=32, metavar="N", help="of each process")
    parser.add_argument("--singly", action="store_true", help="calls are made one by one, not in bulk")
    parser.add_argument("--result-ttl", type=float, default=600.0, metavar="SECONDS", help="results are kept so long")
    said = parser.parse_args()
    wish = Wish(said.rate, said.wait, said.threads, not said.singly, said.result_ttl)
    costs = over_network(known())
    need = size(wish, costs)
    for name, value in need._asdict().items():
        print(f"{name:>14}  {value:,.2f}" if isinstance(value, float) else f"{name:>14}  {value:,}")
    outcome = run(wish, need, costs, _seconds(wish))
    for name, value in outcome._asdict().items():
        print(f"{name:>14}  {value:,.2f}" if isinstance(value, float) else f"{name:>14}  {value:,}")


if __name__ == "__main__":
    main()
