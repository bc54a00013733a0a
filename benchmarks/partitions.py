"""What partitions of a queue cost on one server, and what they bring on a cluster of three: draining a backlog.

All nodes, workers and the producer share this machine's processors. So on a cluster the rates say little; how evenly
the work of the servers is spread says what more machines would bring.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import spread
from benchmarks.figure import Figure, compared, measured
from benchmarks.host import Room, rate_between, room, worker_host
from benchmarks.machine import await_quiet
from benchmarks.processes import cpu_seconds
from benchmarks.turns import by_turns
from distq.broker.ledger import tally
from distq.message import partitions as names_of
from tests.support.cluster import Cluster

BACKLOG, MANY, PROCESSES = 100_000, 8, 2


def partitions(rounds: int) -> list[Figure]:
    """One partition and many, by turns, on one server and on three."""
    single = by_turns(rounds, {"many": lambda: on_one_server(MANY), "one": lambda: on_one_server(1)})
    found = [
        compared(f"{MANY} partitions, one server", "tasks/s", single["many"], single["one"], "1 partition"),
    ]
    shares: dict[int, list[list[float]]] = {1: [], MANY: []}

    def on_three(count: int) -> float:
        rate, used = on_a_cluster(count)
        shares[count].append(used)
        return rate

    spread_out = by_turns(rounds, {"many": lambda: on_three(MANY), "one": lambda: on_three(1)})
    found.append(
        compared(f"{MANY} partitions, 3 nodes", "tasks/s", spread_out["many"], spread_out["one"], "1 partition")
    )
    for count, used in shares.items():
        busiest = [100 * max(seconds) / sum(seconds) for seconds in used]
        parts = ", ".join(f"{100 * part / sum(used[-1]):.0f}" for part in sorted(used[-1], reverse=True))
        what = f"{count} partition{'s' if count > 1 else ''}, 3 nodes, the busiest one's part of the servers' work"
        found.append(measured(what, "%", busiest, f"last round: {parts}"))
    return found


def on_one_server(count: int) -> float:
    """Tasks per second of a worker host."""
    with room() as place:
        return drain(place, count)


def on_a_cluster(count: int) -> tuple[float, list[float]]:
    """The same, and the processor time of each node, in seconds."""
    await_quiet()
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        place = Room("redis://127.0.0.1")  # its own client is not used
        place.url = cluster.url
        before = [cpu_seconds([node.process.pid]) for node in cluster.nodes]
        rate = drain(place, count)
        after = [cpu_seconds([node.process.pid]) for node in cluster.nodes]
    return rate, [late - early for early, late in zip(before, after, strict=True)]


def drain(place: Room, count: int) -> float:
    """A backlog of no-op tasks."""
    app = spread.app
    app.rebind(place.url)
    app.queue("bulk", partitions=count)
    spread.noop.options().delay_many((number,) for number in range(BACKLOG))
    prefixes = [app.broker.prefix(name) for name in names_of("bulk", count)]

    def completed() -> int:
        return sum(app.broker.run(tally(prefix)).counts.get("completed noop", 0) for prefix in prefixes)

    with worker_host(place, PROCESSES, target="benchmarks.spread:app", BENCH_PARTITIONS=str(count)):
        return rate_between(completed, BACKLOG)
