"""Real hosts on a real broker; after each test all of them are gone, and the rules hold for what they left."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.ports import free_port
from tests.support.room import Room


class Start(Protocol):
    """Starts `distq run` and waits until it is ready."""

    def __call__(
        self,
        target: str,
        *options: str,
        processes: int = 2,
        broker: str | None = None,
        metrics: int | None = 0,
        ready: bool = True,
    ) -> Host: ...


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that is not there; tasks that wait for it go on when a test makes it."""
    return tmp_path / "gate"


@pytest.fixture
def port() -> int:
    """For a broker of the test's own that comes back at the same address."""
    return free_port()


@pytest.fixture
def start_anywhere(journal: Journal, tmp_path: Path) -> Iterator[Start]:
    """For tests with a broker of their own: they say which."""
    hosts: list[Host] = []

    def start(
        target: str,
        *options: str,
        processes: int = 2,
        broker: str | None = None,
        metrics: int | None = 0,
        ready: bool = True,
    ) -> Host:
        door = () if metrics is None else ("--metrics-port", str(metrics))
        place = ("--broker", broker) if broker else ()
        command = ["run", f"tests.support.apps.{target}:app", "-p", str(processes), *door, *place, *options]
        hosts.append(Host(command, tmp_path / f"host-{len(hosts)}.log", journal.place))
        return hosts[-1].await_ready() if ready else hosts[-1]

    yield start
    for host in hosts:
        host.close()


@pytest.fixture
def start(room: Room, start_anywhere: Start) -> Start:
    """On the broker of this test process."""
    return partial(start_anywhere, broker=room.url)
