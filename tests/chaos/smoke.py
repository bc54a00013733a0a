"""Tasks through one host at a time, which is killed or ended again and again, in one of two ways.

kill    kill -9 of a worker process and of the supervisor by turns; a new host starts when the supervisor is dead
term    a new host starts, then the old one gets TERM, as in a deployment

What the tasks wrote down themselves is the evidence, not what the broker says: who ran what, from when to when.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from distq.embedded import EmbeddedBroker
from tests.support.apps.chaos import app, work
from tests.support.eventually import eventually
from tests.support.host import Host, children_of, state_of
from tests.support.journal import Journal, Line
from tests.support.room import Room
from tests.support.rules import check_rules

Way = Literal["kill", "term"]

EVERY_S = 0.5
"""Time from a fault's end to the next one."""
PORTIONS = 6
"""Tasks that take no time come in so many portions, one right before each fault: however fast a machine is, it is at
work then."""
PROCESSES = 2
END_S = 60.0
"""Within this time all is done when nothing disturbs it any more."""
NEVER_KILLED, ALIVE = (0.0, 0.0), (float("inf"), float("inf"))


@dataclass
class Run:
    """One run of one task. `ended` None: it did not come to its end."""

    id: str
    pid: int
    started: float
    ended: float | None = None


@dataclass
class Account:
    """What happened, by the tasks' own evidence and by the broker's books."""

    way: Way
    tasks: int
    seconds: float
    threads: int = 1
    killed: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Process -> between which two times it was killed: with a supervisor, all its processes."""
    faults: int = 0
    terms: int = 0
    runs: dict[str, list[Run]] = field(default_factory=dict)
    completed: int = 0
    dead: int = 0
    left: int = 0

    @property
    def extra_runs(self) -> list[Run]:
        """All but the last run of each task."""
        return [run for runs in self.runs.values() for run in runs[:-1]]

    @property
    def lost(self) -> int:
        """Tasks that never came to an end."""
        return self.tasks - sum(1 for runs in self.runs.values() if any(run.ended is not None for run in runs))

    @property
    def unexplained(self) -> list[Run]:
        """Extra runs whose process was not killed after they had begun."""
        return [run for run in self.extra_runs if not self.killed.get(run.pid, NEVER_KILLED)[1] >= run.started]

    @property
    def overlaps(self) -> list[Run]:
        """Runs that began while the one before was still alive."""
        found = []
        for runs in self.runs.values():
            for before, after in itertools.pairwise(runs):
                over = before.ended if before.ended is not None else self.killed.get(before.pid, ALIVE)[0]
                if after.started < over:
                    found.append(after)
        return found

    @property
    def most_at_once(self) -> int:
        """The largest number of runs that went on at the same time."""
        changes = []
        for run in itertools.chain.from_iterable(self.runs.values()):
            over = run.ended if run.ended is not None else self.killed.get(run.pid, ALIVE)[0]
            changes += [(run.started, 1), (max(over, run.started), -1)]
        return max(itertools.accumulate(change for _, change in sorted(changes)), default=0)

    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        wrong = []
        if self.completed != self.tasks:
            wrong.append(f"{self.completed} of {self.tasks} completed, {self.dead} dead, {self.left} left")
        if self.lost:
            wrong.append(f"{self.lost} lost")
        if self.unexplained:
            wrong.append(f"{len(self.unexplained)} extra runs without a kill, such as {self.unexplained[0]}")
        if self.overlaps:
            wrong.append(f"{len(self.overlaps)} runs overlap, such as {self.overlaps[0]}")
        if self.way == "term" and self.extra_runs:
            wrong.append(f"{len(self.extra_runs)} extra runs although nothing was killed")
        if self.way == "kill" and self.most_at_once > PROCESSES * self.threads:
            wrong.append(f"{self.most_at_once} at once")
        if not (self.faults or self.terms):
            wrong.append("it was over before anything was killed")
        return wrong

    def __str__(self) -> str:
        return (
            f"{self.way}, -t {self.threads}: {self.tasks:,} tasks, {self.faults} kills, {self.terms} TERMs, "
            f"{self.seconds:.0f} s: {self.completed:,} completed, {self.lost} lost, {len(self.extra_runs)} extra runs "
            f"({len(self.extra_runs) - len(self.unexplained)} explained by a kill), {len(self.overlaps)} overlaps, "
            f"at most {self.most_at_once} at once"
        )


def smoke(tasks: int, way: Way, seed: int = 0, *, seconds: float = 0.005, threads: int = 1) -> Account:
    """Enqueues, kills until all is done, and gives the account.

    A task takes `seconds`; with 0 they come in batches, of which the next one is asked for while one is worked on.
    `threads`: of each process.
    """
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedBroker() as broker,
        _Stage(broker.url, Path(folder), threads) as stage,
    ):
        account = Account(way, tasks, 0.0, threads)
        app.rebind(broker.url)
        begun = time.monotonic()
        portions = [range(tasks)] if seconds else [range(first, tasks, PORTIONS) for first in range(PORTIONS)]
        if seconds:
            work.delay_many((number, seconds) for number in portions.pop())
        host = stage.start()
        for turn in itertools.count():
            stage.room.redis.ping()
            if not portions:
                _until(time.monotonic() + (EVERY_S if seconds else END_S), stage)
                if stage.is_done():
                    break
            new = stage.start() if way == "term" else host
            if portions:
                work.delay_many((number, seconds) for number in portions.pop())
            if way == "term":
                account.terms += 1
                assert host.terminate(within=40.0) == 0, host.log()
                host = new
            elif turn % 2 == 0:
                kill_child(host, chance, account)
            else:
                kill_host(host, account)
                host = stage.start()
        account.seconds = time.monotonic() - begun
        assert host.terminate() == 0, host.log()
        _close(account, stage)
        return account


def kill_child(host: Host, chance: random.Random, account: Account) -> None:
    """kill -9 of a worker process."""
    alive = host.children
    if alive:
        victim, before = chance.choice(alive), time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # it may just have been replaced
            os.kill(victim, signal.SIGKILL)
            account.killed[victim] = (before, time.monotonic())
            account.faults += 1


def kill_host(host: Host, account: Account) -> None:
    """kill -9 of the supervisor, with which all others die."""
    family = _whole_family(host)
    before = time.monotonic()
    host.kill()
    account.killed |= dict.fromkeys(family, (before, time.monotonic()))
    account.faults += 1


def _whole_family(host: Host) -> list[int]:
    """All processes of a host, of which those that fork are stopped: a child that was just being replaced would
    otherwise come after the look, work, and be killed without a note of it."""
    _stand_still(host.supervisor)
    for template in children_of(host.supervisor):
        _stand_still(template)
    return host.tree


def _stand_still(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) in "TZX", "the process stands still")


class _Stage:
    """Broker, journal, and the hosts so far."""

    def __init__(self, url: str, folder: Path, threads: int) -> None:
        self.room = Room(url)
        self.journal = Journal(folder / "journal")
        self.hosts: list[Host] = []
        self._folder = folder
        sizes = ["-p", str(PROCESSES), "-t", str(threads)]
        self._command = ["run", "tests.support.apps.chaos:app", *sizes, "--metrics-port", "0", "--broker", url]

    def __enter__(self) -> _Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.close()
        self.room.close()

    def start(self) -> Host:
        host = Host(self._command, self._folder / f"host-{len(self.hosts)}.log", self.journal.place)
        self.hosts.append(host)
        return host.await_ready()

    def is_done(self) -> bool:
        return not self.room.redis.hlen(self.room.key("TASKS"))


def _until(at: float, stage: _Stage) -> None:
    """Until the next fault is due, or there is nothing left to disturb."""
    eventually(lambda: time.monotonic() >= at or stage.is_done(), "the next fault is due", within=END_S)


def _close(account: Account, stage: _Stage) -> None:
    for line in stage.journal.lines():
        _note(account, line)
    ledger = stage.room.ledger()
    account.completed, account.dead = ledger.get("completed work", 0), ledger.get("dead work", 0)
    account.left = stage.room.redis.hlen(stage.room.key("TASKS"))
    check_rules(stage.room)


def _note(account: Account, line: Line) -> None:
    runs = account.runs.setdefault(line.id, [])
    if line.event == "START":
        runs.append(Run(line.id, line.pid, line.at))
    else:
        next(run for run in reversed(runs) if run.pid == line.pid and run.ended is None).ended = line.at
