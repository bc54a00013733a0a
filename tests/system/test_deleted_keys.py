"""Keys that somebody deletes (a server that evicts, a person): everything whose message is still there ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from distq import message
from distq.broker import verbs
from tests.support.apps.calling import add, app, hold
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start

WAITING = 20


@pytest.fixture
def host(room: Room, start: Start) -> Host:
    app.rebind(room.url)
    return start("calling", "--lease", "1s")


@pytest.mark.parametrize(
    "name",
    ["queue:default", "processing_queue:*", "leases", "worker:*", "hosts", "meta", "wake", "delayed_queue", "types:*",
     "groups", "lanes", "ledger", "completed_queue", "generations", "deadlines", "shelves", "waited"],
)  # fmt: skip
def test_all_tasks_end_although_a_key_is_deleted(
    name: str, host: Host, room: Room, journal: Journal, gate: Path
) -> None:
    running = [hold.delay(str(gate), n) for n in range(2)]
    eventually(lambda: len(journal.starts()) == 2, "both workers are busy")
    waiting = [add.delay(n, 1) for n in range(WAITING)]
    later = add.options(delay=1.5).delay(0, 1)
    found = list(room.redis.scan_iter(match=f"{room.prefix}{name}"))
    if found:
        room.redis.delete(*found)
    gate.touch()
    assert [handle.get(timeout=30) for handle in waiting] == [n + 1 for n in range(WAITING)]
    assert [handle.get(timeout=30) for handle in running] == [0, 1]
    assert later.get(timeout=30) == 1
    eventually(lambda: room.redis.hlen(room.key("TASKS")) == 0, "no task is left")
    forget_what_nobody_can_know(room, host)


def forget_what_nobody_can_know(room: Room, host: Host) -> None:
    """Counts of deleted keys, and lists of workers whose every trace was deleted, are gone or stay for good."""
    host.terminate()
    for name in ("LEDGER", "PROCESSING"):
        for key in room.redis.scan_iter(match=f"{room.key(name)}*"):
            room.redis.delete(key)


def test_what_an_idle_worker_is_said_to_hold_goes_back(host: Host, room: Room) -> None:
    """A reservation that was stranded by whatever cause: the broker says that the worker has it, and it has not."""
    worker = eventually(lambda: room.run(verbs.workers(room.prefix)), "a worker is there")[0]
    id = message.new_id("default")
    raw = message.head("add", 1, 600) + app.codec.pack_call((1, 2), {})
    with room.redis.pipeline() as together:
        together.hset(room.key("TASKS"), id, b"\0" * 16 + raw)
        together.rpush(room.key("PROCESSING", worker.name), id)
        together.hincrby(room.key("LEDGER"), "enqueued add")
        together.execute()
    assert app.result(id).get(timeout=30) == 3
    assert "giving that back" in host.log()
