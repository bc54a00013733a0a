"""A primary that fails, in each of the three ways, while producers and workers are at it."""

from __future__ import annotations

import asyncio
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from distq import Distq
from distq.broker import reach
from distq.broker.connect import Wire
from distq.broker.links import Links
from distq.broker.scripts import encode
from distq.errors import BrokerUnavailable, ConfigurationError, NotDurable
from distq.result import Handle
from distq.supervisor.switches import Switches
from tests.support.apps.failover import app, note
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.sentinel import NAME, Group, Server
from tests.system.conftest import Start

CONSUMES_WITHIN_S = 2.0
"""After the new primary takes writes."""


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with Group(tmp_path_factory.mktemp("sentinel")) as group:
        yield group


@pytest.fixture
def settled(group: Group) -> Iterator[Group]:
    """With all servers up and the keys of nobody."""
    group.hasten()
    group.await_settled()
    group.primary.client.flushall()
    app.rebind(group.url)
    yield group
    for server in group.servers:
        if server.process.poll() is None:
            server.send(signal.SIGCONT)
        else:
            server.start()


def by_kill(group: Group, primary: Server) -> None:
    primary.send(signal.SIGKILL)
    primary.process.wait(10)


def by_stop(group: Group, primary: Server) -> None:
    primary.send(signal.SIGSTOP)


def by_order(group: Group, primary: Server) -> None:
    group.fail_over()


Fail = Callable[[Group, Server], None]


class Producer(threading.Thread):
    """Enqueues one after the other until it is told to end; the ids of what is there for certain."""

    def __init__(self, send: Callable[[str], Handle[Any]]) -> None:
        super().__init__(daemon=True)
        self.sent: dict[str, str] = {}
        self.errors: list[BrokerUnavailable] = []
        self._send, self._ended = send, threading.Event()

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            try:
                label = f"{self.name}-{number}"
                self.sent[self._send(label).id] = label
            except BrokerUnavailable as error:
                self.errors.append(error)
            number += 1
            time.sleep(0.002)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._ended.set()
        self.join(60)
        assert not self.is_alive()


class AsyncProducer(Producer):
    """The same on an event loop of its own, several at a time."""

    def run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        number = 0
        while not self._ended.is_set():
            labels = [f"{self.name}-{number + more}" for more in range(5)]
            number += 5
            calls = [note.options(durable=True).adelay(label) for label in labels]
            for label, sent in zip(labels, await asyncio.gather(*calls, return_exceptions=True), strict=True):
                if isinstance(sent, BrokerUnavailable):
                    self.errors.append(sent)
                else:
                    assert not isinstance(sent, BaseException), sent
                    self.sent[sent.id] = label
            await asyncio.sleep(0.005)


def first_start_after(journal: Journal, at: float) -> float:
    """How long after that a task was started that had been enqueued after the failover."""
    found = eventually(
        lambda: [line.at for line in journal.starts(label="after") if line.at >= at], "workers consume again", within=30
    )
    return min(found) - at


def first_ends(journal: Journal, producer: Producer) -> dict[int, float]:
    """By process: when it had first run a task of this producer."""
    found: dict[int, float] = {}
    for line in journal.ends():
        if line.id in producer.sent:
            found.setdefault(line.pid, line.at)
    return found


def test_who_comes_during_an_ordered_failover_misses_the_replica_that_was_promoted(settled: Group) -> None:
    """It is not at the old primary any more, where the other one confirms what will be lost.

    The first test: sentinels look at their replicas every ten seconds, and have just done so.
    """
    newcomers = [Distq("failover", settled.url, timeout=0.5, durable=True) for _ in range(2)]
    calls: list[Callable[[], Handle[Any]]] = [
        lambda: newcomers[0].enqueue("note", {"label": "lost"}),
        lambda: asyncio.run(newcomers[1].aenqueue("note", {"label": "lost"})),
    ]
    eventually(lambda: reach.survey(settled.url, "", 1.0) == 2, "the sentinels believe in both")
    settled.replicas()[0].client.replicaof("no", "one")  # so it begins
    eventually(lambda: len(settled.primary.client.role()[2]) == 1, "it has left")
    for call in calls:
        with pytest.raises(NotDurable, match="1 of 2 replicas have confirmed"):
            call()


@pytest.mark.parametrize(("fail", "threads"), [(by_stop, 1), (by_stop, 4), (by_order, 1), (by_order, 4)])
def test_idle_workers_follow_the_primary(
    settled: Group, start_anywhere: Start, journal: Journal, fail: Fail, threads: int
) -> None:
    host = start_anywhere("failover", "-t", str(threads), broker=settled.url)
    assert note.delay("before").get(timeout=20) == "before"
    old = settled.primary
    fail(settled, old)
    new, at = settled.await_writable(old)
    probe = Distq("failover", f"redis://127.0.0.1:{new.port}/0", timeout=20)  # so that the producer is not measured
    enqueued = probe.enqueue("note", {"label": "after"})
    assert first_start_after(journal, at) < CONSUMES_WITHIN_S
    assert enqueued.get(timeout=20) == "after"
    assert host.terminate() == 0


@pytest.mark.parametrize("fail", [by_kill, by_stop, by_order])
def test_a_failover_under_load_loses_nothing_that_was_durable(
    settled: Group, start_anywhere: Start, journal: Journal, fail: Fail
) -> None:
    hosts = [start_anywhere("failover", "-t", threads, broker=settled.url) for threads in ("1", "4")]
    waiting = note.options(durable=True).delay("waits", 4.0)
    with Producer(note.options(durable=True).delay) as one, AsyncProducer(note.delay) as several:
        eventually(lambda: min(len(one.sent), len(several.sent)) > 200, "work flows")
        workers = {line.pid for line in journal.starts()}
        old, before = settled.primary, time.monotonic()
        fail(settled, old)
        new, at = settled.await_writable(old)
        assert min(eventually(lambda: [line.at - at for line in journal.starts() if line.at > at], "it goes on")) < 2.0
        more, most = len(one.sent) + 100, len(several.sent) + 100
        eventually(lambda: len(one.sent) > more and len(several.sent) > most, "producers go on", within=30)
        there = Distq("failover", f"redis://127.0.0.1:{new.port}/0", timeout=20)
        with Producer(lambda label: there.enqueue("note", {"label": label})) as witness:  # who runs these is there, too
            eventually(lambda: workers <= first_ends(journal, witness).keys(), "all workers are there", within=30)
    switched = max(first_ends(journal, witness).values())
    if fail is by_stop:
        old.send(signal.SIGCONT)  # comes back, thinks that it is the primary, and is made a replica
    sent = one.sent.keys() | several.sent.keys() | witness.sent.keys()
    eventually(lambda: sent <= {line.id for line in journal.ends()}, "all that was durable has run", within=60)
    assert waiting.get(timeout=30) == "waits"
    starts: dict[str, list[float]] = {}
    for line in journal.starts():
        starts.setdefault(line.id, []).append(line.at)
    for id, ends in Counter(line.id for line in journal.ends()).items():  # the news of an end was lost with the primary
        moments = starts[id], before, at, switched
        assert ends == 1 or (min(starts[id]) < switched and max(starts[id]) > before), (id, moments)
    assert {host.terminate() for host in hosts} == {0}


def test_addresses_that_cannot_be_are_refused_at_once() -> None:
    for url, why in (
        ("sentinel://one,two,three", "it needs the name of the primary"),
        ("sentinel://one,two:x/main", "'two:x' is no host:port"),
        ("sentinel://one,,two/main", "'' is no host:port"),
        ("sentinel://one/main/two", "after the name comes the number of a database"),
        ("sentinel://one/main?what=3&db=x", "db"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            Distq("failover", url)


def test_no_password_is_shown() -> None:
    shown = repr(Distq("failover", "sentinel://me:secret1@one,two/main?sentinel_username=x&sentinel_password=secret2"))
    assert "secret" not in shown
    assert "one,two/main" in shown


def test_what_is_wrong_is_said(settled: Group) -> None:
    known = settled.url.replace(f"/{NAME}", "/other")
    for url, why in (
        ("sentinel://127.0.0.1:1,127.0.0.1:2/main", r"no sentinel answers.*127.0.0.1:1: Connection refused; 127"),
        (known, "the sentinels know no primary 'other': check the name"),
        (f"{settled.url}/0?sentinel_password=wrong", r"no sentinel answers: check .*sentinel_password.*WRONGPASS|AUTH"),
        (settled.url.replace("//", "//me:wrong@"), r"no primary 'main' \(.*(WRONGPASS|invalid username)"),
    ):
        with pytest.raises(BrokerUnavailable, match=why) as caught:
            Wire(url, timeout=5.0)
        assert "wrong" not in str(caught.value)


def test_a_sentinel_that_is_gone_is_passed_over_and_then_asked_last(settled: Group) -> None:
    dead = settled.url.replace("//", "//127.0.0.1:1,")
    for _ in range(2):
        assert Wire(dead, timeout=5.0).request(encode("ROLE"))[0] == b"master"


def test_an_event_loop_follows_the_primary_too(settled: Group, start_anywhere: Start) -> None:
    start_anywhere("failover", broker=settled.url)

    async def calls() -> list[str]:
        assert await (await note.adelay("first")).aget(timeout=20) == "first"
        waits = await note.adelay("waits", 3.0)
        waiting = asyncio.create_task(waits.aget(timeout=60))
        await asyncio.sleep(0)
        old = settled.primary
        by_stop(settled, old)
        await asyncio.to_thread(settled.await_writable, old)
        again = await note.adelay("second")
        return [await again.aget(timeout=60), await waiting]

    assert asyncio.run(calls()) == ["second", "waits"]


def test_after_a_switch_all_connect_once_more(settled: Group, caplog: pytest.LogCaptureFixture) -> None:
    """Sentinels tell each other within a moment: whoever connects in that moment may be led to the old primary."""
    links = [Links(settled.url, name, silence_s=5.0) for name in ("distq-supervisor", "distq-control")]
    told: list[bytes] = []
    switches = Switches(settled.url, links, told.append)

    def drive() -> int:
        switches.work()
        if (number := switches.fileno()) is not None and select.select([number], [], [], 0.01)[0]:
            switches.readable()
        return len([record for record in caplog.records if "another server is the primary" in record.message])

    eventually(lambda: drive() or switches.fileno() is not None, "it listens")
    old = settled.primary
    by_order(settled, old)
    eventually(lambda: drive() > 0, "the sentinel has told that another one is promoted")
    eventually(lambda: drive() < len(told), "all connect once more, without being told")


def test_a_group_with_passwords(tmp_path: Path, start_anywhere: Start) -> None:
    with Group(tmp_path, password="inside", sentinel_password="guard") as group:
        for url in (group.url, group.url.replace("//", "//:inside@")):
            with pytest.raises(BrokerUnavailable, match=r"no sentinel answers.*NOAUTH"):
                Wire(url, timeout=5.0)
        with pytest.raises(BrokerUnavailable, match=r"no primary.*NOAUTH"):
            Wire(f"{group.url}?sentinel_password=guard", timeout=5.0)
        app.rebind(f"{group.url.replace('//', '//:inside@')}/0?sentinel_password=guard")
        host = start_anywhere("failover", broker=app.url)
        assert note.delay("with passwords").get(timeout=20) == "with passwords"
        assert "inside" not in host.log()
        assert "guard" not in host.log()
        assert host.terminate() == 0
