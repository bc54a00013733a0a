"""A queue of several partitions on one server: calls are spread, and for people it is one queue."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from distq import TaskFailed
from distq.broker import inspect, keys, verbs
from distq.message import family, partitions
from distq.result import Handle
from tests.support.apps.partitions import app, limited, work
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules
from tests.system.conftest import Start

NAMES = partitions("bulk", 8)


@pytest.fixture(autouse=True)
def bound(url: str) -> Iterator[None]:
    """As declared before and after; the rules hold in each partition."""
    app.rebind(url)
    yield
    declare(8)
    for name in ("default", *NAMES):
        room = Room(url, queue=name)
        check_rules(room)
        check_no_leaks(room)
        room.close()


def declare(count: int) -> None:
    """As another release of the application would."""
    app.queue("bulk", partitions=count)
    work._plain = None


def distq(*words: str, code: int = 0) -> Any:
    """What a command of the command line says, as data."""
    command = [sys.executable, "-m", "distq", *words, "--json", "--broker", app.url, "--name", "app"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTQ_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def all_ended(handles: list[Handle[Any]]) -> None:
    for handle in handles:
        assert handle.get(timeout=60) == "bulk", "a handler does not see partitions"


def test_calls_are_spread_and_each_runs_once(start: Start, journal: Journal) -> None:
    host = start("partitions")

    async def calls() -> list[Handle[str]]:
        return list(await asyncio.gather(*(work.adelay() for _ in range(80))))

    handles = [work.delay() for _ in range(160)]
    handles += work.delay_many([()] * 8001)
    handles += asyncio.run(calls())
    assert Counter(handle.queue for handle in handles[:160]) == dict.fromkeys(NAMES, 20)
    assert {handle.queue for handle in handles[160:-80]} == set(NAMES)
    assert Counter(handle.queue for handle in handles[-80:]) == dict.fromkeys(NAMES, 10)
    all_ended(handles)
    assert len(journal.starts()) == len({line.id for line in journal.starts()}) == len(handles) == 8241
    assert "queues: default, bulk (8 partitions)" in host.log()
    assert host.terminate() == 0


def test_a_text_is_enough_to_find_a_task(start: Start) -> None:
    later = work.options(delay="1h")
    handles = [app.result(later.delay().id) for _ in range(8)]
    assert {handle.queue for handle in handles} == set(NAMES)
    assert {handle.status() for handle in handles} == {"scheduled"}
    assert all(handle.cancel() for handle in handles)
    assert {handle.status() for handle in handles} == {"cancelled"}


def test_given_ids_and_limited_types_stay_together(start: Start, journal: Journal) -> None:
    """So that an id is there once, and a rate holds for all calls together."""
    first, second = (work.options(id="order-17").delay() for _ in range(2))
    assert (first.created, second.created) == (True, False)
    assert {handle.queue for handle in (first, second)} == {"bulk"}
    rare = [limited.delay() for _ in range(25)] + limited.delay_many([()] * 25)
    assert {handle.queue for handle in rare} == {"bulk"}
    assert app.enqueue("of-others", queue="bulk").cancel()
    start("partitions")
    for handle in rare:
        handle.get(timeout=30)
    began = sorted(line.at for line in journal.starts(label="limited"))
    assert began[-1] - began[0] >= 49 * 0.02 - 0.01, "50 a second, by the broker's clock"
    assert app.result("order-17").get(timeout=10) == "bulk"


def test_partitions_come_and_go_while_tasks_wait(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = work.delay_many([()] * 8000)
    declare(2)
    handles += work.delay_many([()] * 2000)
    assert {handle.queue for handle in handles[8000:]} == {"bulk", "bulk/1"}
    monkeypatch.setenv("PARTITIONS", "2")
    host = start("partitions")
    all_ended(handles)
    assert "bulk (8 partitions)" in host.log(), "those that are not declared any more are served until the end"
    declare(8)
    more = [work.delay() for _ in range(80)]
    all_ended(more)
    assert len(journal.starts()) == len(handles) + len(more)


def test_what_a_host_does_not_serve_yet_waits_for_one_that_does(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Producers before workers: the wrong order, but nothing is lost."""
    monkeypatch.setenv("PARTITIONS", "1")
    old = start("partitions", processes=1)
    handles = [work.delay() for _ in range(80)]
    mine = [handle for handle in handles if handle.queue == "bulk"]
    all_ended(mine)
    assert {handle.status() for handle in handles if handle not in mine} == {"queued"}
    assert old.terminate() == 0
    start("partitions", processes=1)
    all_ended(handles)
    assert len(journal.starts()) == 80


def test_a_high_task_overtakes_what_waits_in_all_partitions(start: Start, journal: Journal) -> None:
    """Strictly in its own; for the others it waits for its turn."""
    backlog = 24_000
    work.delay_many([()] * backlog)
    start("partitions", processes=1)
    eventually(journal.starts, "it works")
    urgent = work.options(priority="high")
    all_ended([urgent.delay() for _ in range(8)])
    waiting = sum(app.broker.run(verbs.depths(app.broker.prefix(name))).default for name in NAMES)
    assert waiting > backlog / 2
    assert distq("purge", "bulk", "--yes")["cancelled"] > 0


def test_one_partition_alone_can_be_served(start: Start) -> None:
    handles = [work.delay() for _ in range(16)]
    start("partitions", "--queues", "bulk/3", processes=1)
    all_ended([handle for handle in handles if handle.queue == "bulk/3"])
    assert {handle.status() for handle in handles if handle.queue != "bulk/3"} == {"queued"}
    assert distq("purge", "bulk", "--yes") == {"queue": "bulk", "cancelled": 14}


def test_for_people_it_is_one_queue(start: Start) -> None:
    handles = [work.delay("fail") for _ in range(16)]
    metrics = start("partitions", metrics=None)
    for handle in handles:
        with pytest.raises(TaskFailed):
            handle.get(timeout=30)
    (bulk,) = [row for row in distq("queues") if row["queue"] == "bulk"]
    assert (bulk["dead"], bulk["workers"]) == (16, 2)
    each = {row["queue"]: row["dead"] for row in distq("queues", "--partitions") if row["queue"] != "default"}
    assert each == dict.fromkeys(NAMES, 2)
    assert len(distq("dlq", "list")) == 16
    port = re.findall(r"listening on :(\d+)", metrics.log())[0]
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert 'distributedq_tasks_total{queue="bulk",state="dead",type="work"} 16\n' in page
    assert 'queue="bulk/' not in page
    assert metrics.terminate() == 0
    assert distq("dlq", "replay", "--all")["replayed"] == 16
    assert distq("purge", "bulk/3", "--yes") == {"queue": "bulk/3", "cancelled": 2}
    assert distq("purge", "bulk", "--dry-run") == {"queue": "bulk", "would_cancel": 14}
    assert distq("purge", "bulk", "--yes")["cancelled"] == 14
    audit = distq("audit", "--queue", "bulk")
    assert audit["balanced"]
    assert [row["queue"] for row in audit["queues"]] == NAMES
    assert {family(name) for name in inspect.applications(app.url, 2.0)["app"]} == {"default", "bulk"}


def test_an_idle_host_is_as_silent_as_with_one_queue(start: Start, room: Room) -> None:
    """Also where each process listens on a connection per queue."""
    start("partitions", "-t", "4", processes=4)
    all_ended([work.delay() for _ in range(80)])
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 4 * 9 + 2, "all wait")
    metas = [keys.key(keys.prefix("app", name), "META") for name in NAMES]
    eventually(lambda: all(room.redis.hexists(meta, "keeper") for meta in metas), "somebody keeps the time of each")
    seconds = 8
    commands = Monitor(room.url).commands(seconds)
    assert 1 <= len(commands) <= seconds, "\n".join(line[:120] for line in commands)


@pytest.mark.parametrize("options", [("--coroutines", "2"), ("--exclude-types", "limited")])
def test_further_partitions_are_served_by_hosts_that_take_part_in_queues_in_different_ways(
    start: Start, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PARTITIONS", "8")
    start("partitions", *options)
    monkeypatch.setenv("PARTITIONS", "2")
    start("partitions", *options)
    handles = work.delay_many([()] * 100)
    for handle in handles:
        assert handle.get(timeout=10) == "bulk"
