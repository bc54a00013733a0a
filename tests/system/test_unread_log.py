"""A log that nobody reads any more: whoever writes it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distq.broker import keys
from tests.support.apps.weather import app, fails_once, work
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room

LEASE_S = 1


@contextmanager
def unread() -> Iterator[tuple[int, int]]:
    """Ends of a pipe that is full: reading, writing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 1023 + b"\n")
    except BlockingIOError:
        os.set_blocking(writer, True)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_log_that_nobody_reads_stops_nobody(room: Room, journal: Journal, tmp_path: Path, threads: int) -> None:
    app.rebind(room.url)
    command = ["run", "tests.support.apps.weather:app", "-p", "1", "-t", str(threads), "--broker", room.url]
    command += ["--metrics-port", "0", "--lease", f"{LEASE_S}s", "--log-level", "DEBUG"]
    with unread() as (reader, writer):
        host = Host(command, tmp_path / "log", journal.place, errors=writer)
        try:
            host.await_ready()
            pids = host.tree
            gate = tmp_path / "gate"
            slow = work.delay(str(gate))
            eventually(lambda: len(journal.starts(slow.id)) == 1, "it runs")
            for _ in range(3):
                await_renewal_after_a_cut(room)
            gate.touch()
            assert slow.get(timeout=20) == slow.id
            assert fails_once.delay().get(timeout=20) == 2
            assert len(journal.starts(slow.id)) == 1
            assert host.tree == pids
            said = b""

            def is_told() -> bool:
                nonlocal said
                said += os.read(reader, 1 << 20)
                room.redis.client_kill_filter(_type="normal", skipme=True)
                return b"lines were dropped" in said

            eventually(is_told, "how many lines are missing", every=0.05)
        finally:
            host.close()


def await_renewal_after_a_cut(room: Room) -> None:
    """Supervisor and worker have something to say of it."""
    before = lease(room)
    room.redis.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: lease(room) > before, "its lease is renewed")


def lease(room: Room) -> float:
    """Until when its lease runs (ms)."""
    return float(room.redis.zrange(keys.key(keys.prefix("weather", "default"), "LEASES"), 0, -1, withscores=True)[0][1])
