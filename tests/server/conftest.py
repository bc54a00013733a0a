"""Real `distq server` processes, beside real workers, on a real broker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from distq.embedded import EmbeddedBroker
from tests.support.host import Host
from tests.support.room import Room
from tests.support.web import Web

READ, OPERATE, ADMIN = "r" * 20, "o" * 20, "a" * 20
KEYS = f"reader read {READ}, shop operate {OPERATE}, boss admin {ADMIN}, slow operate {'s' * 20} 5/s burst 5"


class Serve(Protocol):
    """Starts `distq server` and waits until it listens."""

    def __call__(
        self, *options: str, broker: str | None = None, more: Mapping[str, str] | None = None, key: str | None = ADMIN
    ) -> Web: ...


class Work(Protocol):
    """Starts a worker for the application of the server."""

    def __call__(self, processes: int = 1) -> Host: ...


class Starter:
    """Servers that end together."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._webs: list[Web] = []

    def __call__(
        self, *options: str, broker: str | None = None, more: Mapping[str, str] | None = None, key: str | None = ADMIN
    ) -> Web:
        """With keys, unless it is said otherwise."""
        more = {"DISTQ_API_KEYS": KEYS} if more is None else dict(more)
        command = ["server", "tests.support.apps.web:app", "--port", "0", *options]
        place = self._folder / f"server-{len(self._webs)}.log"
        host = Host(command, place, self._folder / "j", more={"DISTQ_BROKER": broker or self._url} | more)
        try:
            host.await_log("Server listening on")
            found = re.search(r"listening on http://\S+:(\d+)", host.log())
            assert found, host.log()
        except BaseException:
            host.close()
            raise
        self._webs.append(Web(int(found[1]), key if more else None))
        self._webs[-1].host = host
        return self._webs[-1]

    def close(self) -> None:
        for web in self._webs:
            web.close()
            web.host.close()


@pytest.fixture
def serve(room: Room, tmp_path: Path) -> Iterator[Serve]:
    """On the broker of this test process."""
    starter = Starter(tmp_path, room.url)
    yield starter
    starter.close()


@pytest.fixture(scope="session")
def standing(server: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server for all tests that do nothing to it."""
    starter = Starter(tmp_path_factory.mktemp("server"), server.url)
    yield starter()
    starter.close()


@pytest.fixture
def web(standing: Web, room: Room) -> Web:
    """That one, asked with a key of level admin, and an empty broker."""
    standing.reconnect()
    return standing


@pytest.fixture
def work(room: Room, tmp_path: Path) -> Iterator[Work]:
    hosts: list[Host] = []

    def work(processes: int = 1) -> Host:
        command = ["run", "tests.support.apps.web:app", "-p", str(processes), "--metrics-port", "0", "--grace", "1s"]
        log = tmp_path / f"worker-{len(hosts)}.log"
        hosts.append(Host([*command, "--broker", room.url], log, tmp_path / "journal"))
        return hosts[-1].await_ready()

    yield work
    for host in hosts:
        host.close()
