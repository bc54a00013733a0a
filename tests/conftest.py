"""A real server for each test process; each test begins with an empty one, and ends with the rules checked."""

from __future__ import annotations

import compileall
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from distq.embedded import EmbeddedBroker
from tests.support import debian, nodejs
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules

# Tests change programs that they wrote within the same second: no process may take an older one for it.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Byte code of what the many processes import that tests start: each of them would compile it anew."""
    if not hasattr(session.config, "workerinput"):
        for folder in ("distq", "tests/support", "benchmarks"):
            compileall.compile_dir(session.config.rootpath / folder, quiet=2)


def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: twice the processors, which would have nothing to do for half of the time while tests wait."""
    return 2 * (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", metavar="PROGRAM", help="the broker to test with, if not the first one found")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """What needs a program that is not here is left out, and the end of the run says so."""
    is_left_out = (collection_path == nodejs.TESTS and nodejs.lacks()) or (
        collection_path in debian.TESTS and debian.lacks()
    )
    return True if is_left_out else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = {
        "sdk/node, and whether it agrees with Python": nodejs.lacks() and f"{nodejs.lacks()} (docs/guide/node.md)",
        "the Compose files and examples/monitoring": debian.lacks(),
    }
    if any(missing.values()):
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    for what, why in missing.items():
        if why:
            terminalreporter.line(f"{what}: {why}", red=True)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(program=request.config.getoption("--server")) as broker:
        yield broker


@pytest.fixture
def url(server: EmbeddedBroker) -> Iterator[str]:
    """The address of an empty server; afterwards no key may have leaked."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.script_flush()
    yield server.url
    room = Room(server.url)
    check_no_leaks(room)
    room.close()


@pytest.fixture
def room(url: str) -> Iterator[Room]:
    """One queue, moved verb by verb; afterwards all rules must hold."""
    room = Room(url)
    yield room
    check_rules(room)
    room.close()
