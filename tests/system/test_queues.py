"""Hosts that serve several queues, or some of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from distq import TaskFailed
from distq.broker.scripts import encode, script
from distq.result import Handle
from distq.worker.worker import RECHECK_S
from tests.support.apps import queues
from tests.support.apps.queues import app, work
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.support.rules import check_rules
from tests.system.conftest import Start

NAMES = ("default", "mail", "bulk")


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def in_queue(name: str, calls: list[tuple[Any, ...]]) -> list[Handle[str]]:
    return work.options(queue=name).delay_many(calls)


def all_ended(handles: list[Handle[Any]]) -> None:
    for handle in handles:
        handle.get(timeout=30)


def check_all_rules(url: str) -> None:
    for name in NAMES:
        room = Room(url, queue=name)
        check_rules(room)
        room.close()


def test_a_host_serves_all_queues_that_the_application_declares(start: Start, journal: Journal, url: str) -> None:
    host = start("queues")
    handles = {name: in_queue(name, [()] * 100) for name in NAMES}
    for name, sent in handles.items():
        assert {handle.get(timeout=30) for handle in sent} == {name}
    for name in NAMES:  # from idle: each wakes a worker
        assert work.options(queue=name).delay().get(timeout=10) == name
    bulk = Room(url, queue="bulk")
    assert bulk.redis.hget(bulk.key("META"), "weights") == b"8 3 1"
    bulk.close()
    assert work.options(queue="bulk", delay=0.1).delay().get(timeout=10) == "bulk"
    assert len(journal.starts()) == len({line.id for line in journal.starts()}) == 304
    assert host.terminate() == 0
    check_all_rules(url)


def test_a_host_serves_only_the_queues_that_it_is_told(start: Start, journal: Journal) -> None:
    start("queues", "--queues", "mail,default")
    waiting = in_queue("bulk", [()] * 5)
    served = [*in_queue("mail", [()] * 20), *in_queue("default", [()] * 20)]
    all_ended(served)
    assert {handle.status() for handle in waiting} == {"queued"}
    assert {line.id for line in journal.starts()} == {handle.id for handle in served}
    start("queues", "-Q", "bulk")
    all_ended(waiting)


def test_no_queue_waits_until_another_is_empty(start: Start, journal: Journal) -> None:
    many = in_queue("default", [("", "many")] * 3000)
    start("queues", processes=1)
    eventually(lambda: len(journal.starts(label="many")) > 50, "it works on the full queue")
    few = [work.options(queue=name).delay("", "few") for name in ("mail", "bulk") for _ in range(3)]
    all_ended(few)
    assert len(journal.starts(label="many")) < 3000
    all_ended(many)


def test_what_a_slow_task_holds_up_in_any_queue_is_run_by_another_process(
    start: Start, journal: Journal, tmp_path: Path
) -> None:
    start("queues")
    for turn, name in enumerate(NAMES):
        gate = tmp_path / f"gate-{turn}"
        all_ended(in_queue(name, [()] * 400))
        slow, *behind = in_queue(name, [(str(gate),)] + [()] * 20)
        all_ended(behind)
        assert slow.status() == "running"
        gate.touch()
        assert slow.get(timeout=10) == name
        starts = [line.id for line in journal.starts()]
        assert [starts.count(handle.id) for handle in (slow, *behind)] == [1] * 21


def test_a_child_that_dies_over_a_task_of_any_queue_gives_it_back(
    start: Start, journal: Journal, tmp_path: Path
) -> None:
    host = start("queues", processes=1)
    for turn, name in enumerate(NAMES):
        gate = tmp_path / f"gate-{turn}"
        handle = work.options(queue=name).delay(str(gate))
        eventually(lambda id=handle.id: journal.starts(id=id), "it runs")  # type: ignore[misc]
        os.kill(host.children[0], signal.SIGKILL)
        eventually(lambda id=handle.id: len(journal.starts(id=id)) == 2, "it runs again")  # type: ignore[misc]
        assert [line.delivery for line in journal.starts(id=handle.id)] == [1, 2]
        gate.touch()
        assert handle.get(timeout=10) == name


def test_a_poison_task_dies_in_its_own_queue(start: Start, journal: Journal, url: str) -> None:
    host = start("queues")
    poison = queues.deadly.delay(99)
    others = [handle for name in NAMES for handle in in_queue(name, [()] * 50)]
    with pytest.raises(TaskFailed, match="killed its worker 3 times"):
        poison.get(timeout=30)
    all_ended(others)
    assert [line.delivery for line in journal.starts(id=poison.id)] == [1, 2, 3]
    starts = [line.id for line in journal.starts()]
    assert [starts.count(handle.id) for handle in others] == [1] * 150
    assert host.terminate() == 0
    check_all_rules(url)


def test_a_killed_host_of_several_queues_is_followed_at_once_in_all_of_them(
    start: Start, journal: Journal, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    host = start("queues", "--lease", "1h", processes=3)
    running = [work.options(queue=name).delay(str(gate)) for name in NAMES]
    eventually(lambda: len(journal.starts()) == 3, "one runs in each queue")
    host.kill()
    gate.touch()
    start("queues", "--lease", "1h")
    assert [handle.get(timeout=30) for handle in running] == list(NAMES)


def test_whoever_takes_a_marker_asks_its_queue_first(
    start: Start, journal: Journal, room: Room, tmp_path: Path
) -> None:
    """Else it may be busy with another one, while nobody hears of what it was woken for."""
    gate = tmp_path / "gate"
    host = start("queues", "--lease", "1h", processes=1)
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 2, "it waits")
    since = time.monotonic()
    eventually(lambda: time.monotonic() > since + 2 * RECHECK_S, "what it knows of its queues is old")
    mail, bulk = Room(room.url, queue="mail"), Room(room.url, queue="bulk")
    body = app.codec.pack_call((str(gate),), {})
    to_mail, to_bulk = (each.enqueue_bytes(f"in-{each.queue}", "work", 1, 600, body) for each in (mail, bulk))
    room.wire.request(script("enqueue").load_command())
    room.wire.send(encode("MULTI") + to_bulk + encode("DEL", bulk.key("WAKE")) + to_mail + encode("EXEC"))
    for _ in range(5):
        room.wire.read()
    eventually(journal.starts, "one runs")
    assert [line.id for line in journal.starts()] == ["in-mail"]
    bulk.redis.zadd(bulk.key("WAKE"), {"w": 0})
    gate.touch()
    eventually(lambda: len(journal.ends()) == 2, "both are done")
    for each in (mail, bulk):
        each.close()
    assert host.terminate() == 0


def test_an_idle_host_of_several_queues_is_silent_too(start: Start, room: Room) -> None:
    start("queues", processes=4)
    all_ended([handle for name in NAMES for handle in in_queue(name, [()] * 50)])
    limited = queues.limited.delay_many([()] * 3)
    all_ended(list(limited))
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 5, "all wait")
    seconds = 8
    commands = Monitor(room.url).commands(seconds)
    assert 1 <= len(commands) <= seconds, "\n".join(line[:120] for line in commands)
