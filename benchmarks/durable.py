"""`python -m benchmarks.durable`: what `durable=True` costs. One producer, one call at a time, by turns with plain."""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from distq import Distq
from distq.embedded import EmbeddedBroker

SECONDS, ROUNDS = 0.5, 3


def per_second(call: Callable[[], object]) -> float:
    """How often it can be called."""
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        call()
        count += 1
    return count / spent


def measure(what: str, url: str) -> None:
    """Prints both, by turns, and their medians."""
    app = Distq("durable", url)

    @app.task
    def job() -> None: ...

    durable = job.options(durable=True)
    job.delay()
    durable.delay()
    rates = [(per_second(job.delay), per_second(durable.delay)) for _ in range(ROUNDS)]
    plain, sure = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"{what:30} plain {plain:8,.0f}/s   durable {sure:8,.0f}/s   {1000 / sure:7.2f} ms each")


def main() -> None:
    """A replica beside the primary, then a disk, which writes at each call or once a second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with EmbeddedBroker(port=port) as primary, EmbeddedBroker() as other, redis.Redis.from_url(other.url) as client:
        client.replicaof("127.0.0.1", port)
        status: Any = {}
        while status.get("master_link_status") != "up":
            time.sleep(0.05)
            status = client.info("replication")
        measure("one replica", primary.url)
    for policy in ("always", "everysec"):
        with (
            tempfile.TemporaryDirectory() as folder,
            EmbeddedBroker(Path(folder)) as broker,
            redis.Redis.from_url(broker.url) as client,
        ):
            client.config_set("appendfsync", policy)
            measure(f"no replica, appendfsync {policy}", broker.url)


if __name__ == "__main__":
    main()
