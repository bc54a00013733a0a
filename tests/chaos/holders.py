"""Whoever has the only place of a type (`max_running=1`) is killed again and again, its process and its host by turns.

By what the tasks wrote down themselves, and when the signals were sent: there are never two at once, and the place is
free again within the lease.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from distq.embedded import EmbeddedBroker
from tests.support.apps.flow import alone, app
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal, Line
from tests.support.room import Room
from tests.support.rules import check_rules

LEASE_S = 2.0
HOSTS = 2
HELD_S = 1.0
"""So long a task keeps the place, if it may."""
BEYOND_S = 10.0
"""After a lease has ended another host has to hear of it, on a busy machine."""


@dataclass
class Account:
    """What happened. `over`: run, by its fence → when it surely was over: by its own note, or the signal to it."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: dict[int, float] = field(default_factory=dict)
    over: dict[int, float] = field(default_factory=dict)
    free_s: dict[str, list[float]] = field(default_factory=dict)
    """Kind of kill → from each signal to the start of the next one."""
    endings: dict[str, int] = field(default_factory=dict)
    left: int = 0

    @property
    def together(self) -> list[tuple[int, int]]:
        """Runs that began before the one before was over, by their fences."""
        runs = sorted(self.starts, key=lambda fence: self.starts[fence])
        return [
            (before, after)
            for before, after in itertools.pairwise(runs)
            if self.starts[after] < self.over.get(before, float("inf"))
        ]

    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        wrong = [f"two at once: fences {two}" for two in self.together]
        for kind, times in self.free_s.items():
            if max(times) > LEASE_S + BEYOND_S:
                wrong.append(f"{kind}: the place was free after {max(times):.2f} s, the lease is {LEASE_S:g} s")
        if self.left:
            wrong.append(f"{self.left} have not ended")
        return wrong

    def __str__(self) -> str:
        times = ", ".join(f"{kind} {max(times):.2f} s" for kind, times in self.free_s.items())
        kills = ", ".join(f"{kind} {number}" for kind, number in self.kills.items())
        return (
            f"max_running=1: {sum(self.kills.values())} holders killed ({kills}), {len(self.starts)} runs, "
            f"{len(self.together)} times two at once; taken again after at most: {times} (lease {LEASE_S:g} s); "
            f"ended: {self.endings}"
        )


def holders(kills: int, seed: int = 0) -> Account:
    """Kills so many holders."""
    account = Account()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        stage = _Stage(broker.url, Path(folder))
        app.rebind(broker.url)
        try:
            _kill(stage, kills, random.Random(seed), account)
            eventually(lambda: not stage.room.redis.hlen(stage.room.key("TASKS")), "all have ended", within=120.0)
            _close(stage, account)
        finally:
            stage.close()
    return account


class _Stage:
    """Broker, journal and hosts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.room = Room(url, app="app")
        self.journal = Journal(folder / "journal")
        self._folder, self._url = folder, url
        self._all: list[Host] = []
        self.hosts = [self.start().await_ready() for _ in range(HOSTS)]

    def start(self) -> Host:
        command = ["run", "tests.support.apps.flow:app", "-p", "2", "--metrics-port", "0", "--broker", self._url]
        log = self._folder / f"{len(self._all)}.log"
        self._all.append(Host([*command, "--lease", f"{LEASE_S:g}s"], log, self.journal.place))
        return self._all[-1]

    def close(self) -> None:
        for host in self._all:
            host.close()
        self.room.close()


def _kill(stage: _Stage, kills: int, chance: random.Random, account: Account) -> None:
    at = 0.0
    while (turn := sum(account.kills.values())) < kills:
        alone.delay(HELD_S)
        holder = _holder_after(stage, at)
        time.sleep(chance.uniform(0.0, 0.2))
        kind = "process" if turn % 2 == 0 else "host"
        host = next((host for host in stage.hosts if holder.pid in host.tree), None)
        if host is None:
            continue  # it has just ended by itself
        victims = [holder.pid] if kind == "process" else host.tree
        at = _kill_one(stage, kind, host, holder.pid)
        if (killed := _cut_short(stage, victims, at)) is None:
            continue  # likewise
        account.over[killed.fence] = at
        account.kills[kind] += 1
        account.free_s.setdefault(kind, []).append(_holder_after(stage, at).at - at)


def _cut_short(stage: _Stage, victims: list[int], at: float) -> Line | None:
    """The run that a kill has ended: another than the one that was seen before, if that had just come to its end."""
    ended = {line.fence for line in stage.journal.ends()}
    mine = [
        line for line in stage.journal.starts() if line.pid in victims and line.at <= at and line.fence not in ended
    ]
    return mine[-1] if mine else None


def _holder_after(stage: _Stage, at: float) -> Line:
    """The run that has begun last, after this time, and has not ended."""
    found: list[Line] = []

    def has_begun() -> bool:
        found[:] = stage.journal.lines()[-1:]
        return bool(found) and found[0].event == "START" and found[0].at > at

    eventually(has_begun, "somebody has the place", within=60.0)
    return found[0]


def _kill_one(stage: _Stage, kind: str, host: Host, pid: int) -> float:
    """When the signal was sent."""
    at = time.monotonic()
    if kind == "process":
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return at
    host.send_all(signal.SIGKILL)
    host.wait()
    stage.hosts[stage.hosts.index(host)] = stage.start()
    return at


def _close(stage: _Stage, account: Account) -> None:
    for line in stage.journal.lines():
        if line.event == "START":
            account.starts[line.fence] = line.at
        else:
            account.over[line.fence] = min(line.at, account.over.get(line.fence, float("inf")))
    ledger = stage.room.ledger()
    account.endings = {word: ledger.get(f"{word} alone", 0) for word in ("completed", "dead")}
    account.left = stage.room.redis.hlen(stage.room.key("TASKS"))
    assert not stage.room.redis.exists(stage.room.key("RUNNING"), stage.room.key("HELD")), "a place is taken for ever"
    check_rules(stage.room)
