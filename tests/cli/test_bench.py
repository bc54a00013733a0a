"""`distq bench`: figures and a bottleneck, and nothing left of it, however it ends."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest
import redis

from distq.broker import keys
from distq.embedded import EmbeddedBroker
from tests.cli.conftest import Process, Shell
from tests.support.eventually import eventually
from tests.support.host import children_of, is_alive
from tests.support.ports import free_port
from tests.support.room import Room

OURS = keys.prefix("distq-bench-*", "default") + "*"
FEW = ["--tasks", "1000", "-p", "1"]
MANY = ["--tasks", "1000000", "-p", "1"]


def everything(client: Any) -> dict[bytes, bytes]:
    """All keys of the broker with what they hold."""
    return {key: client.dump(key) for key in client.scan_iter(count=1000)}


@pytest.fixture
def others(shop: Room) -> dict[bytes, bytes]:
    """What somebody else has in the broker: a task, and keys that look a little like those of a benchmark."""
    shop.enqueue()
    for app in ("distq-bench-", "distq-benchmarks"):
        shop.redis.hset(keys.key(keys.prefix(app, "default"), "LEDGER"), "completed noop", 1)
    return everything(shop.redis)


def test_it_says_what_the_broker_and_the_workers_can_do_and_leaves_nothing(
    distq: Shell, shop: Room, others: dict[bytes, bytes]
) -> None:
    said = distq("bench", *FEW)
    for line in (
        r"^Broker   unix://\S+ \((valkey|redis) [\d.]+\)$",
        r"^Workers  1 process on \d+ cores?$",
        r"^round trip, raw PING +[\d,]+ µs  median$",
        r"^\.delay\(\), one at a time +[\d,]+ /s  [\d,]+ µs each, [\d,]+ of them the caller's processor$",
        r"^delay_many +[\d,]+ /s",
        r"^no-op tasks drained +[\d,]+ /s  1,000 of them, with stored results$",
        r"^  broker busy meanwhile +\d+%  its main thread$",
        r"^  workers busy meanwhile +\d+%  each process$",
        r"^call to start, median +[\d,.]+ ms",
        r"^call to start, 99 % +[\d,.]+ ms",
        r"^The bottleneck is ",
    ):
        assert re.search(line, said.out, re.M), (line, said.out)
    assert said.err == ""
    assert everything(shop.redis) == others


def test_json_has_every_figure_and_the_bottleneck(distq: Shell, shop: Room, others: dict[bytes, bytes]) -> None:
    found = distq("bench", "--json", *FEW).json
    for name in ("ping_us", "call_per_s", "call_cpu_us", "bulk_per_s", "drain_per_s", "start_p50_ms", "start_p99_ms"):
        assert found[name] > 0, name
    assert found["tasks"] == 1000
    assert found["is_here"] is True
    assert 0 < found["broker_busy"] <= 1.5
    assert found["start_p50_ms"] <= found["start_p99_ms"]
    assert found["bottleneck"] in ("broker", "workers", "cores", "turns", "network")
    assert everything(shop.redis) == others


def test_without_a_broker_it_brings_its_own(outside: Shell) -> None:
    assert "embedded)" in outside("bench", *FEW).out


def test_settings_of_somebody_elses_worker_hosts_do_not_reach_its_own(distq: Shell) -> None:
    settings = {"DISTQ_QUEUES": "mail", "DISTQ_LEASE": "nonsense", "DISTQ_APP": "myapp:app", "DISTQ_NAME": "shop"}
    assert distq("bench", *FEW, env=settings).out


def test_a_broker_that_does_not_tell_how_busy_it_is_is_measured_all_the_same(outside: Shell) -> None:
    port = free_port()
    with EmbeddedBroker(port=port) as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "me", "on", ">secret", "~distq:*", "+@all", "-info", "-config")
        url = f"redis://me:secret@127.0.0.1:{port}/0"
        said = outside("bench", *FEW, env={"DISTQ_BROKER": url})
        assert re.search(r"broker busy meanwhile +not told", said.out)
        assert "secret" not in said.out + said.err
        assert admin.dbsize() == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--broker", "redis://localhost:1"], 3, "no broker at redis://localhost:1"),
        (["--broker", ""], 2, "--broker is empty"),
        (["--broker", "http://x"], 2, "no address of a broker"),
        (["--tasks", "999"], 2, "--tasks"),
        (["--tasks", "many"], 2, "--tasks"),
        (["-p", "0"], 2, "--processes"),
        (["x"], 2, "unexpected extra argument"),
    ],
)
def test_what_cannot_be_is_said_with_its_code(outside: Shell, options: list[str], code: int, words: str) -> None:
    said = outside("bench", *options, code=code)
    assert words in said.err
    assert said.out == ""


def test_a_broker_that_refuses_calls_is_named_and_left_as_it_was(distq: Shell, shop: Room) -> None:
    before = everything(shop.redis)
    shop.redis.config_set("maxmemory", "1mb")
    try:
        said = distq("bench", *FEW, code=3)
    finally:
        shop.redis.config_set("maxmemory", "0")
    assert "is full" in said.err
    assert everything(shop.redis) == before


# -- ends -------------------------------------------------------------------------------------------------------------


def host_of(process: Process) -> int | None:
    """The pid of its worker host, once that has a template: nothing else that it starts has children."""
    return next((pid for pid in children_of(process.pid) if children_of(pid)), None)


def has_keys(room: Room, name: str) -> bool:
    return any(key.endswith(name.encode()) for key in room.redis.scan_iter(match=OURS, count=1000))


@pytest.mark.parametrize(
    ("number", "phase"),
    [
        pytest.param(signal.SIGINT, "tasks", id="INT while it enqueues"),
        pytest.param(signal.SIGINT, "leases", id="INT while workers drain"),
        pytest.param(signal.SIGTERM, "leases", id="TERM while workers drain"),
        pytest.param(signal.SIGHUP, "tasks", id="HUP while it enqueues"),
    ],
)
def test_a_signal_ends_it_and_nothing_is_left(
    distq: Shell, shop: Room, others: dict[bytes, bytes], number: signal.Signals, phase: str
) -> None:
    process = distq.start("bench", *(MANY if phase == "tasks" else ["--tasks", "200000", "-p", "1"]))
    eventually(lambda: has_keys(shop, phase), f"it has {phase} in the broker", within=40)
    host = host_of(process)
    process.send(number)
    process.send(number)  # whoever is impatient must not keep it from cleaning up
    assert process.ended() == 128 + number
    assert "nothing of it is left" in process.err
    assert everything(shop.redis) == others
    assert host is None or not is_alive(host)


def test_its_workers_end_when_it_is_killed(distq: Shell, shop: Room) -> None:
    process = distq.start("bench", "--tasks", "200000", "-p", "1")
    host = eventually(lambda: host_of(process), "its worker host runs", within=60)
    assert host
    process.send(signal.SIGKILL)
    eventually(lambda: not is_alive(host), "it ends")
    for key in shop.redis.scan_iter(match=OURS, count=1000):
        shop.redis.unlink(key)
    shop.redis.delete(keys.KNOWN_QUEUES)


def test_a_broker_that_goes_away_is_named(outside: Shell) -> None:
    with EmbeddedBroker() as server, redis.Redis.from_url(server.url) as client:
        process = outside.start("bench", *MANY, env={"DISTQ_BROKER": server.url})
        eventually(client.dbsize, "it works", within=40)
        os.kill(server.pid, signal.SIGKILL)
        assert process.ended() == 3
        assert "no broker at" in process.err
        assert "is still there" in process.err
