"""Real `distq server` processes, beside real workers, on a real broker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser

from distq.embedded import EmbeddedBroker
from tests.support import tab
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules
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

    def __init__(self, folder: Path, url: str, app: str = "tests.support.apps.web:app") -> None:
        self._folder, self._url, self._app = folder, url, app
        self._webs: list[Web] = []

    def __call__(
        self, *options: str, broker: str | None = None, more: Mapping[str, str] | None = None, key: str | None = ADMIN
    ) -> Web:
        """With keys, unless it is said otherwise."""
        more = {"DISTQ_API_KEYS": KEYS} if more is None else dict(more)
        command = ["server", self._app, "--port", "0", *options]
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


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all tests of a module: its loop must be gone when a test of another one begins one of its own."""
    with tab.running() as browser:
        yield browser


class Shop:
    """A server and a worker host that all tests of a module share, on one broker."""

    APP = "tests.support.apps.shown:app"

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.room = folder, Room(url)
        self.room.redis.flushall()
        self._serve, self._hosts = Starter(folder, url, self.APP), list[Host]()
        self.host = self.work(2)
        self.web = self._serve()
        self.host.await_ready()

    def work(self, processes: int = 1) -> Host:
        """One more worker host, which may not be ready yet."""
        command = ["run", self.APP, "-p", str(processes), "--metrics-port", "0", "--grace", "1s"]
        log = self.folder / f"worker-{len(self._hosts)}.log"
        self._hosts.append(Host([*command, "--broker", self.room.url], log, self.folder / "journal"))
        return self._hosts[-1]

    def later(self, type: str, *args: Any) -> str:
        """The id of a task that is due in an hour."""
        return str(self.web.post("/api/v1/tasks", {"type": type, "args": args, "delay": 3600}).json["id"])

    def dead(self, type: str, *args: Any) -> str:
        """The id of a task that has failed for good."""
        id = self.web.task(type, *args)
        self.await_state(id, "dead")
        return id

    def state(self, id: str) -> str:
        """In which state the broker has it; "unknown": it is gone."""
        found = self.web.get(f"/api/v1/tasks/{id}")
        return "unknown" if found.status == 404 else str(found.json["status"])

    def await_state(self, id: str, state: str) -> None:
        eventually(lambda: self.state(id) == state, f"{id} is {state}")

    def clear(self) -> None:
        """Nothing waits, is dead or paused any more."""
        for pause in self.web.get("/api/v1/pauses").json["pauses"]:
            self.web.post("/api/v1/pauses/resume", {name: pause[name] for name in ("queue", "type", "key")})
        self.web.post("/api/v1/tasks/cancel", {"filter": "all"})
        self.web.post("/api/v1/dead/purge", {"all": True})

    def close(self) -> None:
        self._serve.close()
        for host in self._hosts:
            host.close()
        check_no_leaks(self.room)
        check_rules(self.room)
        self.room.close()


@pytest.fixture(scope="module")
def shop(server: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"), server.url)
    yield shop
    shop.close()
