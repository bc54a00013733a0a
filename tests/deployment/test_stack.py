"""The services of the Compose files run here: their commands, environment and health checks as they are written.

There is no container: addresses, ports and places that only exist there stand for others of this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from distq.embedded import find_server
from tests.support.compose import ROOT, Running, Service, image, load, program
from tests.support.debian import place_of
from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.web import Web

KEY = "k" * 24
SETTINGS = {
    "API_KEY": KEY,
    "API_KEYS": f"shop operate {KEY}",
    "REDIS_PASSWORD": "p\"a's\\s $HOME `w`#é/:@",
    "GRAFANA_PASSWORD": "g" * 24,
    "REDIS_MAXMEMORY": "64mb",
}


class Stack:
    """The services of one file, all in one folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.file = load(ROOT / name, SETTINGS)
        self.folder = folder
        self.running: list[Running] = []
        self.redis_port, self.api_port, self.prometheus_port = free_ports(3)
        for place in ("app", "bin", "data", "prometheus", "secrets"):
            (folder / place).mkdir()
        (folder / "app" / "examples").symlink_to(ROOT / image()["COPY"].split()[0])
        for secret, source in self.file.get("secrets", {}).items():
            (folder / "secrets" / secret).write_text(SETTINGS[source["environment"]])
        at = ["--port", str(self.redis_port), "--bind", "127.0.0.1"]
        program(folder / "bin" / "redis-server", find_server(), after=at)
        program(folder / "bin" / "redis-cli", place_of("redis-cli"), before=["-p", str(self.redis_port)])
        listen = f"--web.listen-address=127.0.0.1:{self.prometheus_port}"
        program(folder / "bin" / "prometheus", place_of("prometheus"), after=[listen])

    def start(self, name: str) -> Running:
        """One more of this service."""
        (port,) = free_ports(1)
        here = {
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "8080": str(port),
            "127.0.0.1:8081": f"127.0.0.1:{self.api_port}",
            "127.0.0.1:9090": f"127.0.0.1:{self.prometheus_port}",
            "/run/secrets": str(self.folder / "secrets"),
            "=/prometheus": f"={self.folder / 'prometheus'}",
            "/etc/prometheus": str(ROOT / "examples" / "monitoring"),
        }
        kept = {name: value for name, value in os.environ.items() if name in {"PYTHONPATH", "LD_LIBRARY_PATH"}}
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {**kept, "PATH": path, "HOME": str(self.folder), "DISTQ_SERVER_PORT": str(self.api_port)}
        if name in ("worker", "api"):
            environ["http_proxy"] = "http://127.0.0.1:1"  # as the settings of a Docker client give it to each container
        log = self.folder / f"log-{len(self.running)}"
        home = self.folder / {"redis": "data"}.get(name, "app")
        self.running.append(Running(Service(self.file, name), here, environ, home, log))
        return self.running[-1]

    def program(self, *words: str) -> Any:
        """What a command of distq says as JSON, asked from this machine."""
        secret = SETTINGS["REDIS_PASSWORD"] if "secrets" in self.file else ""
        environ = os.environ | {
            "DISTQ_BROKER": f"redis://127.0.0.1:{self.redis_port}/0", "DISTQ_BROKER_PASSWORD": secret,
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "distq", *words], env=environ, capture_output=True, check=False)
        return json.loads(done.stdout)

    def close(self) -> None:
        for running in self.running:
            running.close()


@pytest.fixture(params=["docker-compose.yml", "docker-compose.prod.yml"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(request.param, tmp_path)
    yield stack
    stack.close()


def answer(web: Web, task: Mapping[str, Any]) -> Any:
    """What comes of a call over HTTP."""
    created = web.post("/api/v1/tasks", task)
    assert created.status == 201, created
    found = web.get(f"/api/v1/results/{created.json['id']}?wait=20")
    assert found.json["status"] == "completed", found
    return found.json["result"]


def test_what_is_written_starts_says_that_it_is_well_works_and_ends(stack: Stack) -> None:
    redis = stack.start("redis")
    eventually(redis.is_well, "redis is well")
    others = [stack.start(name) for name in ("worker", "api", "prometheus")]
    for running in others:
        eventually(running.is_well, "it is well", within=30, every=0.2)

    web = Web(stack.api_port, KEY)
    assert answer(web, {"type": "resize", "args": [7]}) == 7
    assert web.as_(None).get("/api/v1/queues").status == 401
    web.close()
    if "secrets" in stack.file:
        assert subprocess.run([stack.folder / "bin" / "redis-cli", "-e", "ping"], check=False).returncode != 0
        for running in stack.running:
            assert SETTINGS["REDIS_PASSWORD"].encode() not in Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
            assert SETTINGS["REDIS_PASSWORD"].encode() not in Path(f"/proc/{running.process.pid}/environ").read_bytes()
        (stack.folder / "secrets" / "redis_password").write_text("one\nrequirepass two\n")
        refused = stack.start("redis")
        assert refused.process.wait(20) == 1
        assert refused.log() == "REDIS_PASSWORD has a line break, or the like: give one line\n"

    levels = {found["check"]: found["level"] for found in stack.program("doctor", "--json")}
    assert levels["persistence"] == levels["memory"] == "ok"
    assert "problem" not in levels.values()

    ends = getattr(signal, image()["STOPSIGNAL"])
    assert [running.stop(ends) for running in (*others, redis)] == [0] * 4
    assert not any(running.checks() for running in stack.running)
    assert list((stack.folder / "data").glob("appendonlydir/*.aof"))
