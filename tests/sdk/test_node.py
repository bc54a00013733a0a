"""The package for Node.js: its own tests, tasks from Node through Python workers, and a real server behind its client.

Where there is no Node.js these are not collected, and the end of the run says so (tests/conftest.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import distq
from tests.docs.pages import DOCS, blocks
from tests.support.host import ROOT, Host
from tests.support.room import Room
from tests.support.tls import Certificates, Terminator

SDK = ROOT / "sdk" / "node"
KEY = "a" * 20
CLAIM = re.compile(r"^(.*); // → (.*)$", re.M)


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    """What the package has of the rest of the repository is made, as `make node` does."""
    subprocess.run([sys.executable, str(SDK / "build.py")], check=True, timeout=60)


def node(*words: str | Path, **more: str) -> None:
    """Runs it; what it says is shown if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DISTQ_", "REDIS_", "NODE_"))}
    tap = ["--test-reporter=tap"] if "--test" in words else []
    done = subprocess.run(
        ["node", *tap, *map(str, words)], env=clean | more, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not tap or "# skipped 0" in done.stdout, done.stdout


@pytest.fixture
def served(room: Room, tmp_path: Path) -> Iterator[Callable[..., dict[str, str]]]:
    """Starts a worker and a server for an application; where they are, as an environment."""
    hosts: list[Host] = []

    def start(target: str, folder: Path = ROOT) -> dict[str, str]:
        run = ["run", target, "-p", "2", "--metrics-port", "0", "--grace", "1s"]
        for command, name in ((run, "worker"), (["server", target, "--port", "0"], "server")):
            more = {"DISTQ_BROKER": room.url, "DISTQ_API_KEYS": f"boss admin {KEY}"}
            hosts.append(Host(command, tmp_path / name, tmp_path / "journal", folder, more))
        hosts[0].await_ready()
        hosts[1].await_log("Server listening on")
        port = re.search(r"listening on http://\S+:(\d+)", hosts[1].log())
        assert port, hosts[1].log()
        return {"DISTQ_BROKER": room.url, "DISTQ_URL": f"http://127.0.0.1:{port[1]}", "DISTQ_API_KEY": KEY}

    yield start
    for host in hosts:
        host.tracebacks_allowed = True  # of tasks that fail on purpose
        host.close()


def test_the_tests_of_the_package_pass() -> None:
    node("--test", *(SDK / "test" / "unit").glob("*.test.js"))


def test_python_runs_what_node_enqueues_and_node_reads_the_results(served: Callable[..., dict[str, str]]) -> None:
    """Through the broker, and through a server."""
    where = served("tests.support.apps.web:app")
    node("--test", "--test-concurrency=1", *(SDK / "test" / "live").glob("*.test.js"), **where)


def test_a_producer_speaks_tls(room: Room, tmp_path: Path) -> None:
    made = Certificates(tmp_path / "certificates")
    with Terminator(made, room.url, asks_clients=True) as terminator:
        where = {"DISTQ_BROKER": terminator.url, "CERTIFICATES": made.file("")}
        node("--test", SDK / "test" / "tls" / "producer.test.js", **where)


def test_the_guide_does_what_it_says(served: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    page = DOCS / "guide" / "node.md"
    (tmp_path / "myapp.py").write_text("".join(blocks(page, "python")))
    code, claims = CLAIM.subn(r"assert.deepEqual(\1, \2);", "".join(blocks(page, "js")))
    assert claims > 5
    (tmp_path / "call.mjs").write_text(f'import assert from "node:assert/strict";\n{code}')
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "distq").symlink_to(SDK)
    node(tmp_path / "call.mjs", **served("myapp:app", tmp_path))


def test_the_package_has_the_version_of_the_release() -> None:
    assert f'"version": "{distq.__version__}"' in (SDK / "package.json").read_text("utf-8")
