"""The whole way over TLS: calls, results, workers, the command line; and what is said of certificates."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from distq import Distq
from distq.broker.connect import Wire
from distq.broker.scripts import encode
from distq.errors import BrokerUnavailable, ConfigurationError
from tests.support.apps.failover import app, note
from tests.support.host import ROOT
from tests.support.journal import Journal
from tests.support.tls import Certificates, Terminator
from tests.system.conftest import Start


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def door(made: Certificates, url: str) -> Iterator[Terminator]:
    with Terminator(made, url) as door:
        yield door


@pytest.fixture
def strict(made: Certificates, url: str) -> Iterator[Terminator]:
    with Terminator(made, url, asks_clients=True) as door:
        yield door


def trusting(door: Terminator, made: Certificates) -> str:
    return f"{door.url}?ssl_ca_certs={made.authority}"


def identified(door: Terminator, made: Certificates) -> str:
    return f"{trusting(door, made)}&ssl_certfile={made.file('client.crt')}&ssl_keyfile={made.file('client.key')}"


@pytest.mark.parametrize("threads", ["1", "4"])
def test_the_whole_way(
    start_anywhere: Start, journal: Journal, strict: Terminator, made: Certificates, threads: str
) -> None:
    address = identified(strict, made)
    app.rebind(address)
    host = start_anywhere("failover", "-t", threads, broker=address)
    for number in range(20):  # from idle each time: marker and task come in one record
        assert note.delay(str(number)).get(timeout=10) == str(number)
    many = note.delay_many([(str(number),) for number in range(2000)])
    assert [handle.get(timeout=30) for handle in many] == [str(number) for number in range(2000)]

    async def asynchronous() -> list[str]:
        handles = await asyncio.gather(*(note.adelay(str(number)) for number in range(50)))
        found = [await handle.aget(timeout=10) for handle in handles]
        app.async_broker.close()
        return found

    assert asyncio.run(asynchronous()) == [str(number) for number in range(50)]
    assert len(journal.starts()) == 2070
    said = subprocess.run(
        [sys.executable, "-m", "distq", "enqueue", "note", '{"label": "x"}', "--wait", "--name", "failover"],
        cwd=ROOT, env={"DISTQ_BROKER": address, "PATH": ""}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (said.returncode, "x" in said.stdout) == (0, True), said.stderr
    assert host.terminate() == 0


def test_an_idle_worker_sleeps(start_anywhere: Start, door: Terminator, made: Certificates) -> None:
    """Whoever mistakes what a socket has for what TLS has, turns in circles."""
    address = trusting(door, made)
    app.rebind(address)
    host = start_anywhere("failover", broker=address)
    note.delay("first").get(timeout=10)
    busy = {pid: cpu_s(pid) for pid in host.tree}
    began = time.monotonic()
    assert note.delay("second", 1.0).get(timeout=10) == "second"
    spent = sum(cpu_s(pid) - before for pid, before in busy.items())
    assert spent < 0.2 * (time.monotonic() - began)
    assert host.terminate() == 0


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


_TICKS = os.sysconf("SC_CLK_TCK")


def test_replies_that_come_in_one_record_are_all_read(door: Terminator, made: Certificates) -> None:
    wire = Wire(trusting(door, made), timeout=5.0)
    wire.send(encode("PING") * 1000 + encode("ECHO", "x" * 100_000))
    assert [wire.read() for _ in range(1000)] == [b"PONG"] * 1000
    assert len(wire.read()) == 100_000
    assert not wire.has_more


def test_what_does_not_fit_is_said(door: Terminator, strict: Terminator, made: Certificates, url: str) -> None:
    with pytest.raises(BrokerUnavailable, match=r"its certificate is refused: .*ssl_ca_certs="):
        Wire(door.url, timeout=5.0)
    with pytest.raises(BrokerUnavailable, match=r"TLS: .*want a certificate|closed by the broker|reset"):
        Wire(trusting(strict, made), timeout=5.0)
    with (
        Terminator(made, url, name="elsewhere") as other,
        pytest.raises(BrokerUnavailable, match=r"certificate is refused: .*IP address mismatch.*'127.0.0.1'"),
    ):
        Wire(trusting(other, made), timeout=5.0)
    with pytest.raises(BrokerUnavailable, match=r"no broker at redis://"):
        Wire(door.url.replace("rediss", "redis"), timeout=0.5)
    with pytest.raises(ConfigurationError, match=r"an option does not exist here \(.*ssl_ca_certs"):
        Distq("app", trusting(door, made).replace("rediss", "redis"))
