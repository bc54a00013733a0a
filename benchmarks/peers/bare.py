"""The floor as one more row: the bare loops of `benchmarks/floor.py`, over the same kind of connection."""

from __future__ import annotations

import socket
import threading
import time

from benchmarks import floor
from benchmarks.figure import percentile
from benchmarks.host import Room
from benchmarks.numbers import scaled
from benchmarks.peers.workloads import Numbers, Scale, pauses
from distq.broker.connect import Wire
from distq.embedded import EmbeddedBroker

NAME = "bare loop"


def measure(workload: str, scale: Scale, rates: Numbers) -> Numbers:
    """What stands beside the figures of this workload; `rates` are earlier ones, for the sizes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with EmbeddedBroker(port=port) as broker:
        place = Room(broker.url)
        place.url = f"redis://127.0.0.1:{port}/0"
        if workload == "enqueue":
            half = scale.seconds / 2
            return {
                "enqueue_1": _push(place.url, 1, scaled(rates.get("enqueue_1", 10_000), half, 50, 100_000)),
                "enqueue_10": _push(place.url, 10, scaled(rates.get("enqueue_10", 10_000), half, 50, 100_000)),
                "bulk": _fill(place, scaled(rates.get("bulk", 100_000), half, 500, 300_000)),
            }
        if workload.startswith("drain-"):
            processes = int(workload.partition("-")[2])
            number = scaled(rates.get(f"drain_{processes}", 80_000), scale.seconds, 1_000, 400_000)
            found = {f"drain_{processes}": floor.drain(place, number, processes)}
            if processes == 2:
                waits = floor.hand_over(place, pauses(scale.stamps))
                found |= {"latency_p50": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}
            return found
        return {}


def _fill(place: Room, number: int) -> float:
    wire = Wire(place.url, timeout=10.0)
    begun = time.perf_counter()
    floor.load(wire, number)
    return number / (time.perf_counter() - begun)


def _push(url: str, producers: int, number: int) -> float:
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(url) as client:
        floor.rpush(client)

        def produce() -> None:
            for _ in range(number // producers):
                floor.rpush(client)

        threads = [threading.Thread(target=produce) for _ in range(producers)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return number // producers * producers / (time.perf_counter() - begun)
