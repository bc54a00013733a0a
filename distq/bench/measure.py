"""The figures of `distq bench`. What is made of single calls is bounded in time: the broker may be far away.

The workers tell themselves how far they are and how much they have computed, every so many tasks, in their results: the
broker is asked meanwhile for what is done and how much *it* has computed, and for nothing else.
"""

from __future__ import annotations

import math
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distq.bench.app import app, noop, stamp
from distq.bench.bottleneck import Found
from distq.bench.host import worker_host
from distq.broker import inspect, keys
from distq.broker.address import mask
from distq.broker.connect import Exchange, ServerError, Wire
from distq.broker.scripts import encode
from distq.errors import DistqError
from distq.result import Handle

PINGS, STARTS = 2_000, 200
EACH_S = 1.5
"""At most so long for round trips, for single calls and for starts."""
SAMPLES = 200
"""So many of the tasks tell when and where they ran."""
POLL_S = 0.01
PATIENCE_S = 30.0
QUEUE = "default"

Look = tuple[float, float]
"""When, and how many seconds something had computed by then."""
Sample = tuple[int, int, int]
"""A process, and in nanoseconds the time and how long it had computed by then."""


def measure(url: str, is_embedded: bool, processes: int, tasks: int, say: Callable[[str], None]) -> Found:
    """Everything, with a worker host of so many processes. Call `forget` afterwards, come what may."""
    app.rebind(url)
    wire = Wire(url, timeout=app.timeout, name="distq-bench")
    say("round trips")
    ping_us = _ping(wire)
    say("single calls")
    calls, call_per_s, call_cpu_us = _calls(tasks)
    say(f"{tasks:,} calls in bulk")
    handles, bulk_per_s = _bulk(tasks)
    say(f"draining with {processes} worker processes")
    broker: list[Look] = []
    machine: list[Look] = []

    def look() -> None:
        broker.append((time.monotonic(), _computed(wire)))
        machine.append((time.monotonic(), machine_computed()))

    with worker_host(url, processes):
        _wait(calls + tasks, look)
        samples = [_sample(handle.get(timeout=PATIENCE_S)) for handle in handles]
        begun, ended = window(samples)
        say("starts of single tasks")
        starts = _starts()
    drained = sum(begun < at <= ended for _, at, _ in samples) * max(1, tasks // SAMPLES)
    place, cores = urlsplit(url), _cores()
    machine_busy = share(machine, begun / 1e9, ended / 1e9)
    return Found(
        broker=mask(url),
        server=_server(wire),
        is_here=is_embedded or place.scheme == "unix" or place.hostname in ("localhost", "127.0.0.1", "::1"),
        cores=cores,
        processes=processes,
        tasks=tasks,
        ping_us=ping_us,
        call_per_s=call_per_s,
        call_cpu_us=call_cpu_us,
        bulk_per_s=bulk_per_s,
        drain_per_s=drained / (ended - begun) * 1e9,
        broker_busy=share(broker, begun / 1e9, ended / 1e9),
        machine_busy=None if machine_busy is None else machine_busy / (os.cpu_count() or 1),
        workers_busy=workers_share(samples, begun, ended),
        start_p50_ms=_percentile(starts, 0.5),
        start_p99_ms=_percentile(starts, 0.99),
    )


def forget(url: str) -> None:
    """Takes every key of the benchmark's application out of the broker, and no other one.

    Until there is none: a call that was interrupted may still arrive while the first ones are taken.
    """
    request = Exchange(url, app.timeout).request
    cursor, taken = b"0", 1
    while taken:
        taken = request(encode("SREM", keys.KNOWN_QUEUES, keys.known_queue(app.name, QUEUE)))
        while True:
            cursor, found = request(encode("SCAN", cursor, "MATCH", f"{keys.prefix(app.name, QUEUE)}*", "COUNT", 1000))
            taken += len(found)
            if found:
                request(encode("UNLINK", *found))
            if cursor == b"0":
                break


# -- calling ----------------------------------------------------------------------------------------------------------


def _ping(wire: Wire) -> float:
    """Median microseconds."""
    took: list[float] = []
    until = time.monotonic() + EACH_S
    while len(took) < PINGS and time.monotonic() < until:
        begun = time.perf_counter()
        wire.request(encode("PING"))
        took.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took)


def _calls(most: int) -> tuple[int, float, float]:
    """How many were made, how many per second, and the caller's processor time for each in microseconds."""
    noop.delay(0)  # opens the queue
    begun, used, number = time.perf_counter(), time.process_time(), 0
    while number < most and time.perf_counter() < begun + EACH_S:
        noop.delay(number)
        number += 1
    took, computed = time.perf_counter() - begun, time.process_time() - used
    return number + 1, number / took, computed / number * 1e6


def _bulk(tasks: int) -> tuple[list[Handle[Any]], float]:
    """The handles of those that tell, and calls per second."""
    step = max(1, tasks // SAMPLES)
    begun = time.perf_counter()
    handles = noop.delay_many((number, True) if number % step == 0 else (number,) for number in range(tasks))
    return handles[::step], tasks / (time.perf_counter() - begun)


def _starts() -> list[float]:
    """Milliseconds from a call to the start of its task."""
    waits: list[float] = []
    until = time.monotonic() + EACH_S
    for _ in range(10):
        stamp.delay().get(timeout=PATIENCE_S)
    while len(waits) < STARTS and (time.monotonic() < until or not waits):
        time.sleep(0.002)
        called = time.monotonic_ns()
        waits.append((stamp.delay().get(timeout=PATIENCE_S) - called) / 1e6)
    return waits


# -- draining ---------------------------------------------------------------------------------------------------------


def _wait(total: int, look: Callable[[], None]) -> None:
    """Until so many tasks are completed; looks again and again. Raises DistqError when nothing happens any more."""
    done, progress = 0, time.monotonic()
    while done < total:
        look()
        before, done = done, inspect.ledger(app.broker, QUEUE).get("noop", {}).get("completed", 0)
        if done > before:
            progress = time.monotonic()
        elif time.monotonic() > progress + PATIENCE_S:
            raise DistqError(f"the workers stopped at {done:,} of {total:,} tasks")
        time.sleep(POLL_S)
    look()


def _computed(wire: Wire) -> float:
    """Seconds that the broker's main thread has computed; NaN if it does not tell."""
    try:
        text = wire.request(encode("INFO", "cpu")).decode("utf-8", "replace")
    except ServerError:
        return math.nan
    for names in (("user_main_thread", "sys_main_thread"), ("user", "sys")):
        found = [re.search(rf"^used_cpu_{name}:([\d.]+)", text, re.M) for name in names]
        if all(found):
            return sum(float(match[1]) for match in found if match)
    return math.nan


def machine_computed() -> float:
    """Seconds that all processors of this machine have computed, for whatever program; NaN where that is not told."""
    try:
        user, nice, system, _, _, *rest = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    except (OSError, ValueError):
        return math.nan
    return sum(map(int, (user, nice, system, *rest))) / os.sysconf("SC_CLK_TCK")


def _sample(value: Any) -> Sample:
    pid, at, computed = value
    return pid, at, computed


def window(samples: Sequence[Sample]) -> tuple[int, int]:
    """From when all processes were at work, and a tenth was done, until the last twentieth: begin and end (ns)."""
    times = sorted(at for _, at, _ in samples)
    firsts: dict[int, int] = {}
    for pid, at, _ in samples:
        firsts[pid] = min(at, firsts.get(pid, at))
    ended = times[-1 - len(times) // 20]
    begun = max(times[len(times) // 10], *firsts.values())
    if begun >= times[len(times) * 2 // 3]:  # one began when it was nearly over: then it does not count
        begun = times[len(times) // 10]
    return (begun, ended) if begun < ended else (times[0], max(times[-1], times[0] + 1))


def workers_share(samples: Sequence[Sample], begun: int, ended: int) -> float:
    """Part of that time which a process has computed, the mean over all processes."""
    shares = []
    for pid in {pid for pid, _, _ in samples}:
        own = sorted((at, computed) for other, at, computed in samples if other == pid and begun <= at <= ended)
        if len(own) > 1:
            (first, before), (last, after) = own[0], own[-1]
            shares.append((after - before) / (last - first))
    return min(1.0, statistics.mean(shares)) if shares else 0.0


def share(looks: Sequence[Look], begun: float, ended: float) -> float | None:
    """Part of that time in which something has computed; above 1 if it has several cores."""
    if len(looks) < 2:
        return None
    before = [look for look in looks if look[0] <= begun] or list(looks[:1])
    after = [look for look in looks if look[0] >= ended] or list(looks[-1:])
    (first, low), (last, high) = before[-1], after[0]
    found = (high - low) / (last - first) if last > first else math.nan
    return None if math.isnan(found) else found


# -- facts ------------------------------------------------------------------------------------------------------------


def _server(wire: Wire) -> str:
    """`valkey 9.1.2`, or nothing."""
    try:
        text = wire.request(encode("INFO", "server")).decode("utf-8", "replace")
    except ServerError:
        return ""
    for name in ("valkey", "redis"):
        if found := re.search(rf"^{name}_version:(\S+)", text, re.M):
            return f"{name} {found[1]}"
    return ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
