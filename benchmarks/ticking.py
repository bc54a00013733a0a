"""Schedules: how late ticks are, what very many of them cost, and whether each fires once while hosts die."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.figure import Figure, measured, percentile
from benchmarks.host import READY, Room, room, until, worker_host
from benchmarks.processes import below, cpu_seconds
from benchmarks.tasks import stamp, tock
from distq.broker import schedules, verbs
from distq.cron import timing
from distq.errors import DistqError

MANY = 10_000
FEW, WATCHED_S = 10, 15.0
CALLS = 300
HOSTS, TICKS = 5, 200
LEASE = "2s"


def ticks(rounds: int) -> list[Figure]:
    """Ten schedules that tick each second, on an idle host; then 10,000 more that tick once an hour, each at its own
    second, beside them."""
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log, app = Path(folder, "log"), place.app()
        with worker_host(place, 2, BENCH_LOG=str(log)) as host:
            tock.delay_many([()] * 4)  # the processes are warm
            for number in range(FEW):
                app.schedules.create(f"few-{number}", "@every 1s", tock)
            alone = _watch(log)
            for number in range(FEW):
                app.schedules.pause(f"few-{number}")
            idle, called = _spent(place, host.pid), _calls()
            _create_many(place)
            time.sleep(1.0)
            fires = place.counted("enqueued", "tock")
            crowd, called_beside = _spent(place, host.pid), _calls()
            fires = place.counted("enqueued", "tock") - fires
            for number in range(FEW):
                app.schedules.resume(f"few-{number}")
            beside = _watch(log)
    told = f"p50 {statistics.median(alone):.1f}, {len(alone)} ticks"
    crowded = f"p50 {statistics.median(beside):.1f}, {len(beside)} ticks"
    more = f"{crowd:.2f} with them, {idle:.2f} without; {fires} tasks of theirs ran meanwhile"
    return [
        measured("a tick's task starts late, p99", "ms", [percentile(alone, 0.99)], told, at_most=50),
        measured(f"the same with {MANY:,} other schedules", "ms", [percentile(beside, 0.99)], crowded, at_most=50),
        Figure(f"{MANY:,} schedules: host and broker", crowd - idle, "% of a processor", more, at_most=1),
        Figure("call to start with them, p50", called_beside, "ms", f"{called:.2f} without"),
    ]


def _watch(log: Path) -> list[float]:
    """How late what ticks in the next seconds is, in ms."""
    log.write_text("")
    time.sleep(WATCHED_S)
    return [float(line) for line in log.read_text("ascii").splitlines()]


def _create_many(place: Room) -> None:
    app = place.app()
    prefix = app.broker.open("default")
    _, _, [few] = app.broker.run(schedules.one(prefix, "few-0"))
    for number in range(MANY):
        when = f"{number % 60} {number // 60 % 60} * * * *"
        now_ms = round(time.time() * 1000)
        items = [*replace(few.definition, when=when).items(), "turn", schedules.new_turn()]
        app.broker.run(schedules.define(prefix, f"many-{number}", "new", timing(when).next(now_ms), items))


def _spent(place: Room, host: int) -> float:
    """Per cent of a processor that host and broker use."""
    pids = below({host}) | {int(place.client.info("server")["process_id"])}
    used, begun = cpu_seconds(pids), time.perf_counter()
    time.sleep(WATCHED_S)
    return (cpu_seconds(pids) - used) / (time.perf_counter() - begun) * 100


def _calls() -> float:
    """From call to start, in ms."""
    found = []
    for number in range(CALLS):
        called = time.monotonic_ns()
        found.append((stamp.delay(number).get(timeout=10) - called) / 1e6)
        time.sleep(0.003)
    return statistics.median(found)


def faults(rounds: int) -> list[Figure]:
    """Five hosts are killed and stopped by chance while a schedule ticks 200 times, once a second."""
    with tempfile.TemporaryDirectory() as folder, room() as place:
        log, app = Path(folder, "log"), place.app()
        log.touch()
        app.schedules.create("it", "@every 1s", "tick-of")
        hosts = [_Host(place, log) for _ in range(HOSTS)]
        chance, kills, stops = random.Random(1), 0, 0
        try:
            until(lambda: bool(_ticks(log)), "the first tick")
            begun = time.monotonic()
            while len(set(_ticks(log))) < TICKS:
                victim = chance.randrange(HOSTS)
                if chance.random() < 0.5:
                    kills += 1
                    hosts[victim].kill()
                    hosts[victim] = _Host(place, log)
                else:
                    stops += 1
                    hosts[victim].stop(chance.uniform(0.2, 4.0))
                if time.monotonic() - begun > 3 * TICKS:
                    raise DistqError("it does not tick any more")
            app.schedules.pause("it")
            until(lambda: not app.broker.run(verbs.depths(app.broker.prefix("default"))).live, "all has run")
        finally:
            for host in hosts:
                host.kill()
        found, enqueued = set(_ticks(log)), place.counted("enqueued", "tick-of")
        wanted = set(range(min(found), max(found) + 1, 1000))
    told = f"{HOSTS} hosts, {kills} killed, {stops} stopped for up to 4 s"
    return [
        Figure("one-second ticks that fired", len(found), "", told, at_least=TICKS),
        Figure("of them missing", len(wanted - found), "", at_most=0),
        Figure("of them twice", enqueued - len(found), "", "by the ledger", at_most=0),
    ]


def _ticks(log: Path) -> list[int]:
    text = log.read_text("ascii")
    return [int(line) for line in text[: text.rfind("\n") + 1].split()]


class _Host:
    """One that may be killed; its first second is nobody's."""

    def __init__(self, place: Room, log: Path) -> None:
        command = [sys.executable, "-m", "distq", "run", "benchmarks.tasks:app", "-p", "1", "--lease", LEASE]
        command += ["--broker", place.url, "--metrics-port", "0", "--log-level", "ERROR"]
        self.process = subprocess.Popen(
            command, env={**os.environ, "BENCH_LOG": str(log)}, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        if not any(READY in line for line in self.process.stdout):
            raise DistqError("a worker host does not start")

    def kill(self) -> None:
        """All its processes die."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def stop(self, seconds: float) -> None:
        """All its processes stand still."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.killpg(self.process.pid, signal.SIGCONT)
