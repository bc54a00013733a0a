"""Hosts and producers on a cluster of real servers: queues on several nodes, a slot that moves, a node that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from distq import BrokerUnavailable, TaskCancelled
from distq.broker import transfer
from distq.broker.cluster import slot_of
from distq.broker.moves import Change
from distq.result import Handle
from tests.support.apps.queues import app, deadly, limited, work
from tests.support.cluster import Cluster, Node
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules
from tests.system.conftest import Start

NAMES = ("default", "mail", "bulk")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(nodes: Cluster) -> Iterator[Cluster]:
    """Empty at first; the rules hold at the end, in each queue."""
    nodes.empty()
    app.rebind(nodes.url)
    yield nodes
    check_all_rules(nodes)


def check_all_rules(cluster: Cluster) -> None:
    for name in NAMES:
        room = room_of(cluster, name)
        check_rules(room)
        check_no_leaks(room)
        room.close()


def room_of(cluster: Cluster, queue: str) -> Room:
    return Room(f"redis://127.0.0.1:{holder(cluster, queue).port}", queue=queue)


def holder(cluster: Cluster, queue: str) -> Node:
    return cluster.holder(app.broker.prefix(queue))


def test_two_queues_on_different_nodes_in_one_worker(start_anywhere: Start, journal: Journal, cluster: Cluster) -> None:
    assert len({holder(cluster, name).port for name in NAMES}) > 1
    host = start_anywhere("queues", broker=cluster.url, processes=1)
    sent = {name: work.options(queue=name).delay_many([()] * 100) for name in NAMES}
    for name, handles in sent.items():
        assert {handle.get(timeout=30) for handle in handles} == {name}
    for name in (*NAMES, *NAMES):  # from idle, each on a connection of its own
        assert work.options(queue=name).delay().get(timeout=10) == name
        assert work.options(queue=name, delay=0.05).delay().get(timeout=10) == name
    for handle in [limited.delay() for _ in range(3)]:
        handle.get(timeout=10)
    assert len(journal.starts()) == len({line.id for line in journal.starts()}) == 315
    assert host.terminate() == 0


def test_everything_that_a_producer_can_do(cluster: Cluster) -> None:
    waiting = [work.options(queue=name, id="order-17" if name == "mail" else f"o-{name}").delay() for name in NAMES]
    assert not work.options(queue="mail", id="order-17").delay().created
    assert app.result("order-17").status() == "queued"
    assert sorted(app.broker.known_queues()) == sorted(NAMES)

    async def calls() -> list[Any]:
        handles = await asyncio.gather(*(work.options(queue=name).adelay() for name in (*NAMES, *NAMES)))
        assert [await handle.astatus() for handle in handles] == ["queued"] * 6
        assert await app.result("order-17").astatus() == "queued"
        assert await app.result("order-17").acancel()
        with pytest.raises(TaskCancelled):
            await app.result("order-17").aget(timeout=5)
        await asyncio.gather(*(handle.acancel() for handle in handles))
        return [await handle.astatus() for handle in handles]

    assert asyncio.run(calls()) == ["cancelled"] * 6
    assert [handle.cancel() for handle in waiting] == [True, False, True]


@pytest.mark.parametrize("threads", [1, 4])
def test_what_a_dead_process_held_runs_again(
    threads: int, start_anywhere: Start, journal: Journal, cluster: Cluster
) -> None:
    host = start_anywhere("queues", "-t", str(threads), broker=cluster.url)
    handles = [deadly.options(queue=name).delay(1) for name in NAMES]
    others = [handle for name in NAMES for handle in work.options(queue=name).delay_many([()] * 50)]
    assert [handle.get(timeout=40) for handle in handles] == [2, 2, 2]
    for handle in others:
        handle.get(timeout=30)
    assert host.terminate() == 0


def test_a_slot_moves_while_work_flows(start_anywhere: Start, journal: Journal, cluster: Cluster) -> None:
    """Scripts are refused while it moves, producers try again: nothing is lost, and nothing runs twice."""
    host = start_anywhere("queues", broker=cluster.url)
    handles: list[Handle[str]] = []
    done = threading.Event()

    def produce() -> None:
        while not done.is_set():
            handles.append(work.options(queue="mail").delay())

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for _ in range(2):
            before = len(handles)
            eventually(lambda goal=before + 100: len(handles) > goal, "tasks are sent")  # type: ignore[misc]
            _, target = cluster.move(app.broker.prefix("mail"), pause_s=0.01)
            eventually(lambda goal=target: holder(cluster, "mail") is goal, "all know where it is")  # type: ignore[misc]
    finally:
        done.set()
        producer.join()
    assert {handle.get(timeout=30) for handle in handles} == {"mail"}
    assert work.options(queue="mail", delay=0.05).delay().get(timeout=10) == "mail"
    assert len(journal.starts()) == len({line.id for line in journal.starts()}) == len(handles) + 1
    assert host.terminate() == 0


def test_a_replica_takes_over_under_load(
    start_anywhere: Start, journal: Journal, tmp_path: Path
) -> None:  # fmt: skip
    """What the replica had is not lost; work goes on in all queues."""
    gate = tmp_path / "gate"
    with Cluster(tmp_path / "nodes", replicas=1) as cluster:
        app.rebind(cluster.url)
        host = start_anywhere("queues", broker=cluster.url)
        held = [work.options(queue=name).delay(str(gate)) for name in NAMES[:2]]
        sent = [handle for name in NAMES for handle in work.options(queue=name).delay_many([()] * 200)]
        victim = holder(cluster, "mail")
        replica = next(node for node in cluster.nodes[3:] if f"master_port:{victim.port}" in node.text("INFO"))
        offset = victim.text("INFO", "replication").partition("master_repl_offset:")[2].split()[0]
        eventually(
            lambda: (
                int(replica.text("INFO", "replication").partition("slave_repl_offset:")[2].split()[0]) >= int(offset)
            ),
            "the replica has all that was sent",
        )
        victim.kill()
        gate.touch()
        eventually(lambda: "role:master" in replica.text("INFO", "replication"), "the replica takes over", 30.0)

        def works(name: str) -> bool:
            with suppress(BrokerUnavailable):
                return work.options(queue=name).delay().get(timeout=30) == name
            return False

        for name in NAMES:
            eventually(lambda name=name: works(name), f"{name} is served again", 30.0)  # type: ignore[misc]
        for handle in (*held, *sent):
            assert handle.get(timeout=30) in NAMES
        assert {line.id for line in journal.ends()} >= {handle.id for handle in (*held, *sent)}
        assert host.terminate() == 0


def test_a_child_is_killed_from_outside(start_anywhere: Start, cluster: Cluster, tmp_path: Path) -> None:
    host = start_anywhere("queues", broker=cluster.url)
    gate = tmp_path / "gate"
    handles = [work.options(queue=name).delay(str(gate)) for name in NAMES[:2]]
    eventually(lambda: [handle.status() for handle in handles] == ["running"] * 2, "both run")
    for pid in host.children:
        os.kill(pid, signal.SIGKILL)
    gate.touch()
    assert [handle.get(timeout=30) for handle in handles] == list(NAMES[:2])
    assert host.terminate() == 0


def test_the_slot_of_a_key_is_that_of_its_hash_tag(cluster: Cluster) -> None:
    for name in (b"foo", b"distq:{shop/default}:tasks", b"a{}b", b"{x}{y}", "ключ".encode(), b"}{"):
        assert slot_of(name) == cluster.nodes[0].say("CLUSTER", "KEYSLOT", name)


def test_tasks_go_to_queues_on_other_nodes(cluster: Cluster, start_anywhere: Start) -> None:
    """And a host ends what somebody has begun."""
    handles = work.delay_many([()] * 10)
    for handle in handles:
        handle.reschedule(queue="bulk")
    broker, begun = app.broker, work.delay()
    source, target = broker.prefix("default"), broker.open("mail")
    broker.run(transfer.expect(target, "t1", "default", [begun.id]))
    broker.run(transfer.depart(source, "t1", "mail", Change(), [begun.id]))
    assert {app.result(handle.id).status() for handle in (*handles, begun)} == {"queued"}
    start_anywhere("queues", "--lease", "1s", broker=cluster.url, processes=1)
    assert {app.result(handle.id).get(timeout=40) for handle in handles} == {"bulk"}
    assert app.result(begun.id).get(timeout=40) == "mail"
