"""The last release and the working tree on one broker, as in a deployment: each runs what the other enqueues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.chaos.release import TREE, Release, last_release
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room

CALLS = """
import json, sys
from tests.support.apps.rolling import app, add, fails
app.rebind(sys.argv[1])
kept = [add.delay(1, number) for number in range(20)] + add.delay_many((2, number) for number in range(20))
kept += [add.options(delay=0.3, priority="high").delay(3, 4), add.options(id=sys.argv[2]).delay(4, 5)]
print(json.dumps([[handle.id for handle in kept], fails.options(retries=1).delay().id]))
"""
ENVELOPE_AT = 23
"""Where in a message the version of its envelope is."""
RESULTS = """
import json, sys
from tests.support.apps.rolling import app
app.rebind(sys.argv[1])
print(json.dumps([app.result(id).get(timeout=20) for id in sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Where the history is not there both are the working tree, and the tests say as much as they can."""
    return last_release(tmp_path_factory.mktemp("release"))


def run(release: Release, program: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=release.folder, env={**os.environ, **release.environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Hosts:
    """Starts hosts of either release."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self.all: list[Host] = []

    def start(self, release: Release, app: str = "rolling") -> Host:
        command = ["run", f"tests.support.apps.{app}:app", "-p", "1", "--metrics-port", "0", "--broker", self._url]
        log = self._folder / f"host-{len(self.all)}.log"
        place = Journal(self._folder / "journal").place
        self.all.append(Host(command, log, place, release.folder, release.environment))
        return self.all[-1].await_ready()


@pytest.fixture
def hosts(room: Room, tmp_path: Path) -> Iterator[Hosts]:
    started = Hosts(room.url, tmp_path)
    yield started
    for host in started.all:
        host.close()


@pytest.mark.parametrize("newer_runs", [True, False])
def test_each_runs_what_the_other_enqueues_and_reads_its_results(
    room: Room, last: Release, hosts: Hosts, newer_runs: bool
) -> None:
    calls, runs = (last, TREE) if newer_runs else (TREE, last)
    hosts.start(runs)
    ids, failing = run(calls, CALLS, room.url, "given")
    expected = [1 + n for n in range(20)] + [2 + n for n in range(20)] + [7, 9]
    assert run(calls, RESULTS, room.url, *ids) == expected
    assert run(runs, RESULTS, room.url, *ids) == expected
    eventually(lambda: room.where(failing) == "dead", "it has failed twice")
    assert [record["attempt"] for record in room.attempts(failing)] == [1, 2]


def test_a_deployment_takes_over_what_the_old_host_leaves(room: Room, last: Release, hosts: Hosts) -> None:
    old = hosts.start(last)
    ids, _ = run(last, CALLS, room.url, "before")
    hosts.start(TREE)
    assert old.terminate() == 0
    ids += run(last, CALLS, room.url, "after")[0]
    assert len(run(TREE, RESULTS, room.url, *ids)) == len(ids)


NEWER = """
import json, sys
from distq import Distq
app = Distq("app", broker=sys.argv[1])
print(json.dumps([app.enqueue("only-the-newer-knows").id]))
"""


def test_a_type_that_only_the_newer_knows_waits_for_it(room: Room, last: Release, hosts: Hosts) -> None:
    hosts.start(last)
    [unknown] = run(TREE, NEWER, room.url)
    known, _ = run(TREE, CALLS, room.url, "a")
    run(TREE, RESULTS, room.url, *known)
    eventually(lambda: room.redis.hexists(room.key("LANES"), "only-the-newer-knows"), "the old host has put it aside")
    assert (room.where(unknown), room.attempts(unknown)) == ("queued", [])
    hosts.start(TREE, "rolling_newer")
    assert run(TREE, RESULTS, room.url, unknown) == ["newer"]


def test_a_message_that_neither_can_read_waits_and_holds_nobody_up(room: Room, last: Release, hosts: Hosts) -> None:
    """Of a release that is yet to come."""
    id = room.enqueue("add", body=msgpack.packb([[1, 2]]))
    raw = bytearray(room.redis.hget(room.key("TASKS"), id))
    raw[ENVELOPE_AT] = 99
    room.redis.hset(room.key("TASKS"), id, bytes(raw))
    hosts.start(last)
    hosts.start(TREE)
    known, _ = run(last, CALLS, room.url, "a")
    assert len(run(TREE, RESULTS, room.url, *known)) == len(known)
    assert bytes(raw) == room.redis.hget(room.key("TASKS"), id)
    assert room.attempts(id) == []
