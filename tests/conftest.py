"""A real server for each test process; each test begins with an empty one, and ends with the rules checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from distq.embedded import EmbeddedBroker
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", metavar="PROGRAM", help="the broker to test with, if not the first one found")


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
