"""Two failures that decisions say cannot happen, produced here: a broker that stands still, and a keeper that dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distq.broker import verbs
from distq.embedded import EmbeddedBroker
from tests.support.apps.calling import add, app, hold
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room

LEASE_S = 1.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """One of its own: it is stopped."""
    with EmbeddedBroker() as broker:
        app.rebind(broker.url)
        yield broker


@pytest.fixture
def hosts(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[list[Host]]:
    """Two, with a worker process each."""
    options = ["-p", "1", "--metrics-port", "0", "--lease", f"{LEASE_S:g}s", "--broker", broker.url]
    command = ["run", "tests.support.apps.calling:app", *options]
    hosts = [Host(command, tmp_path / f"host-{n}.log", tmp_path / "journal") for n in range(2)]
    try:
        yield [host.await_ready() for host in hosts]
    finally:
        for host in hosts:
            host.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def let_pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= until, f"{seconds} s are over")


def workers(room: Room) -> set[str]:
    return {worker.name for worker in room.run(verbs.workers(room.prefix))}


def test_a_broker_that_stands_still_for_longer_than_a_lease_takes_nobodys_work_away(
    broker: EmbeddedBroker, hosts: list[Host], tmp_path: Path
) -> None:
    """Decision 0014: everybody has renewed before anybody has looked for two fifths of a lease without a gap."""
    room, journal, gate = Room(broker.url), Journal(tmp_path / "journal"), tmp_path / "gate"
    running = [hold.delay(str(gate), n) for n in range(2)]
    eventually(lambda: len(journal.lines("START")) == 2, "both workers are busy")
    before = workers(room)
    for leases in (3.0, 1.1):
        with stopped(broker.pid):
            let_pass(leases * LEASE_S)
        let_pass(1.5 * LEASE_S)
    assert workers(room) == before
    gate.touch()
    assert [handle.get(timeout=20) for handle in running] == [0, 1]
    assert len(journal.lines("START")) == 2
    assert not any("is lost" in host.log() for host in hosts)
    room.close()


def test_a_keeper_that_was_killed_is_replaced_and_delayed_tasks_start(
    broker: EmbeddedBroker, hosts: list[Host]
) -> None:
    """Decision 0010. No worker is busy, so no step promotes what is due: only another keeper does."""
    room = Room(broker.url)

    def keeper() -> Host | None:
        name = (room.redis.hget(room.key("META"), "keeper") or b"").decode()
        return next((host for host in hosts if f"-{host.supervisor}-" in name), None)

    first = eventually(keeper, "one host keeps the time")
    assert first
    later = add.options(delay=2 * LEASE_S).delay(1, 2)
    first.kill()
    assert later.get(timeout=30) == 3
    assert keeper() not in (None, first)
    room.close()
