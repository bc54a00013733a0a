"""What it costs to be looked at, and how well `/scale` says how many workers there have to be."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any

from benchmarks.figure import Figure, compared, measured, percentile
from benchmarks.host import Room, rate_between, room, until, worker_host
from benchmarks.many_types import DURATIONS, TYPES, app
from benchmarks.processes import below, cpu_seconds
from benchmarks.tasks import noop
from benchmarks.turns import by_turns

BACKLOG, PROCESSES = 200_000, 2
SCRAPE_EVERY_S = 1.0
SCRAPES = 30
TARGET = "benchmarks.many_types:app"
WITHIN_S = 5
PART = {"type1": 2_000, "type2": 600, "type3": 300, "type4": 100}
"""How many tasks of each type wait."""
PER_S = {"type1": 200, "type2": 80, "type3": 40, "type4": 20}
"""How many of them come, when they come evenly."""


def metrics(rounds: int) -> list[Figure]:
    """A backlog with metrics that are scraped each second, and without; and how long a page of many types takes."""
    sides = by_turns(rounds, {"on": partial(_drain, True), "off": partial(_drain, False)})
    (rates, costs), (bare_rates, bare_costs) = (zip(*side, strict=True) for side in sides.values())
    took = [_page_ms() for _ in range(rounds)]
    return [
        compared("no-op drain with metrics on", "tasks/s", rates, bare_rates, "off", at_least=0.97),
        compared("processor time of a task with metrics on", "µs", costs, bare_costs, "off", at_most=1.03),
        measured(f"a scrape of a host with {TYPES} types", "ms", took, f"medians of {SCRAPES}", at_most=20),
    ]


def _drain(is_seen: bool) -> tuple[float, float]:
    """Tasks per second, and microseconds that all processes of the host have used for each: also on a busy machine."""
    port = _free_port()
    with room() as place:
        place.app()
        noop.delay_many((number,) for number in range(BACKLOG))
        shown = str(port if is_seen else 0)
        with worker_host(place, PROCESSES, DISTQ_METRICS_PORT=shown) as host, _scraped(port, is_seen):
            rate = rate_between(lambda: place.counted("completed", "noop"), BACKLOG)
            return rate, cpu_seconds(below({host.pid})) / BACKLOG * 1e6


@contextmanager
def _scraped(port: int, is_seen: bool) -> Iterator[None]:
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_EVERY_S):
            _get(port, "/metrics")

    scraper = threading.Thread(target=scrape)
    if is_seen:
        scraper.start()
    yield
    over.set()
    if is_seen:
        scraper.join()


def _page_ms() -> float:
    """The median of some scrapes, of a host that has run something of every type."""
    port = _free_port()
    with room() as place, worker_host(place, 2, target=TARGET, DISTQ_METRICS_PORT=str(port)):
        app.rebind(place.url)
        for type in app.tasks:
            app.enqueue(type)
        until(lambda: place.counted("completed", f"type{TYPES - 2}") == 1, "each has run")
        took = []
        for _ in range(SCRAPES):
            begun = time.perf_counter()
            _get(port, "/metrics")
            took.append((time.perf_counter() - begun) * 1000)
    return percentile(took, 0.5)


def scale(rounds: int) -> list[Figure]:
    """How long as many slots take as `/scale` wants for a mixed backlog: the truth, also where tasks take longer than
    they are told; and what it wants for what comes evenly."""
    said = [_of_backlog() for _ in range(rounds)]
    told = sum(number * DURATIONS[type] for type, number in PART.items()) / WITHIN_S
    took = [_drained_in(slots) for slots in said]
    coming = sum(number * DURATIONS[type] for type, number in PER_S.items())
    evenly = [_of_arrivals() for _ in range(rounds)]
    return [
        measured(f"slots that /scale wants for {told:g} slots' work", "slots", said, "more where tasks take longer"),
        _within(f"a drain within {WITHIN_S} s by as many slots", [seconds / WITHIN_S for seconds in took]),
        _within(f"slots that /scale wants for {coming:g} slots' arrivals", [slots / coming for slots in evenly]),
    ]


def _within(what: str, ratios: list[float]) -> Figure:
    """The one that is the furthest from 1 counts."""
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return Figure(what, worst, "×", f"of the truth; rounds: {shown}; off by", abs(worst - 1), at_most=0.1)


def _of_backlog() -> int:
    """One process that has run a little, much that waits, and what more workers would not run sooner."""
    port = _free_port()
    with room() as place, worker_host(place, 1, target=TARGET, DISTQ_METRICS_PORT=str(port)):
        _warm(place)
        app.tasks["limited"].delay_many(() for _ in range(500))
        app.tasks["type4"].options(delay=3600).delay_many((DURATIONS["type4"],) for _ in range(2_000))
        for type, number in PART.items():
            app.tasks[type].delay_many((DURATIONS[type],) for _ in range(number))
        return int(_get(port, f"/scale?within={WITHIN_S}s")["wanted_slots"])


def _drained_in(slots: int) -> float:
    """Seconds that so many slots need, from when they may begin."""
    with room() as place:
        app.rebind(place.url)
        app.pause(queue="default")
        with worker_host(place, 1, slots, target=TARGET):
            for type, number in PART.items():
                app.tasks[type].delay_many((DURATIONS[type],) for _ in range(number))
            begun = time.perf_counter()
            app.resume(queue="default")
            until(lambda: all(place.counted("completed", type) == number for type, number in PART.items()), "all ran")
            return time.perf_counter() - begun


def _of_arrivals() -> int:
    """Enough slots, so that nothing waits."""
    port = _free_port()
    with room() as place, worker_host(place, 1, 32, target=TARGET, DISTQ_METRICS_PORT=str(port)):
        _warm(place)
        begun, slots = time.monotonic(), 0
        for tenth in range(10 * 2 * WITHIN_S):
            for type, number in PER_S.items():
                part = number * (tenth + 1) // 10 - number * tenth // 10
                app.tasks[type].delay_many((DURATIONS[type],) for _ in range(part))
            time.sleep(max(0.0, begun + tenth / 10 - time.monotonic()))
            if tenth % 10 == 9:
                slots = int(_get(port, f"/scale?within={WITHIN_S}s")["wanted_slots"])
        return slots


def _warm(place: Room) -> None:
    """The host has seen each type."""
    app.rebind(place.url)
    handles = [app.enqueue(type, seconds) for type, seconds in DURATIONS.items() for _ in range(5)]
    for handle in handles:
        handle.get(timeout=60)


def _get(port: int, path: str) -> dict[str, Any]:
    """What is there; of text nothing."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    found: dict[str, Any] = json.loads(said) if answer.headers["Content-Type"] == "application/json" else {}
    return found


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("", 0))
        return int(taken.getsockname()[1])
