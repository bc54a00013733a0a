"""Partitions on the nodes of a cluster, and what its nodes do to them: they die, stop without a word, ask for names."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from distq import BrokerUnavailable
from distq.config import WorkerConfig
from distq.message import partitions
from tests.support.apps.partitions import app, limited, work
from tests.support.cluster import Cluster, Node
from tests.support.eventually import eventually
from tests.support.host import ROOT
from tests.support.journal import Journal
from tests.support.room import Room
from tests.support.rules import check_no_leaks, check_rules
from tests.system.conftest import Start
from tests.system.test_access import RULE, rules

NAMES = partitions("bulk", 8)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), replicas=1) as cluster:
        yield cluster


@pytest.fixture
def cluster(nodes: Cluster) -> Iterator[Cluster]:
    """Empty at first; the rules hold at the end, in each partition."""
    for node in nodes.nodes:
        if "role:master" in node.text("INFO", "replication"):
            node.say("FLUSHALL")
    app.rebind(nodes.url)
    yield nodes
    check_all_rules(nodes)


def check_all_rules(cluster: Cluster) -> None:
    for name in ("default", *NAMES):
        room = Room(f"redis://127.0.0.1:{holder(cluster, name).port}", queue=name)
        check_rules(room)
        check_no_leaks(room)
        room.close()


def holder(cluster: Cluster, queue: str) -> Node:
    return cluster.holder(app.broker.prefix(queue))


def replica_of(cluster: Cluster, node: Node) -> Node:
    return next(other for other in cluster.nodes if f"master_port:{node.port}" in other.text("INFO", "replication"))


def offset(node: Node, field: str) -> int:
    return int(re.findall(rf"{field}:(\d+)", node.text("INFO", "replication"))[0])


def distq(*words: str, user: str = "") -> subprocess.CompletedProcess[str]:
    url = app.url if not user else app.url.replace("cluster://", f"cluster://failover-{user}:secret@")
    command = [sys.executable, "-m", "distq", *words, "--broker", url]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_queue_is_on_several_nodes(start_anywhere: Start, journal: Journal, cluster: Cluster) -> None:
    assert len({holder(cluster, name).port for name in NAMES}) > 1
    ids = [work.options(id="order-17").delay() for _ in range(2)]  # while nobody can run the first one
    host = start_anywhere("partitions", broker=cluster.url)
    handles = [work.delay() for _ in range(80)] + work.delay_many([()] * 8000)
    rare = [limited.delay() for _ in range(10)]
    for handle in handles:
        assert handle.get(timeout=30) == "bulk"
    for each in rare:
        each.get(timeout=30)
    assert {app.result(handle.id).queue for handle in handles} == set(NAMES)
    assert ids[0].get(timeout=10) == app.result("order-17").get(timeout=10) == "bulk"
    assert len({line.id for line in journal.starts()}) == len(journal.starts()) == 8080 + 1 + 10
    began = sorted(line.at for line in journal.starts(label="limited"))
    assert began[-1] - began[0] >= 9 * 0.02 - 0.01
    present = sum(node.say("CLIENT", "LIST").count(b" name=distq-") for node in cluster.nodes)
    needed = WorkerConfig("app", processes=2).connections(1 + len(NAMES), is_cluster=True)
    assert needed / 2 < present <= needed, "what a host says that it needs"
    assert host.terminate() == 0


def test_the_doctor_and_the_other_commands(start_anywhere: Start, cluster: Cluster) -> None:
    """Each queue is looked at where it is."""
    host = start_anywhere("partitions", broker=cluster.url)
    later = work.options(delay="1h")
    waiting = [later.delay() for _ in range(16)]
    told = distq("doctor", "tests.support.apps.partitions:app", "--json")
    problems = [item for item in json.loads(told.stdout) if item["level"] == "problem"]
    assert (told.returncode, problems) == (0, []), told.stdout
    assert len({item["about"] for item in json.loads(told.stdout) if "node" in item["about"]}) == 3
    assert host.terminate() == 0
    told = distq("doctor", "--json")
    problems = [item for item in json.loads(told.stdout) if item["level"] == "problem"]
    assert told.returncode == 5
    assert {(item["about"], item["check"]) for item in problems} == {(f"queue app/{name}", "workers") for name in NAMES}
    (bulk,) = [row for row in json.loads(distq("queues", "--json").stdout) if row["queue"] == "bulk"]
    assert bulk["scheduled"] == 16
    assert json.loads(distq("purge", "bulk", "--yes", "--json").stdout)["cancelled"] == 16
    assert {handle.status() for handle in waiting} == {"cancelled"}
    assert distq("audit", "--queue", "bulk", "--name", "app").returncode == 0


def test_users_with_rights_for_a_cluster(start_anywhere: Start, cluster: Cluster) -> None:
    """Those of the guide, and what it says that a cluster needs more."""
    text = (ROOT / "docs/guide/brokers.md").read_text("utf-8").replace("\n", " ")
    match = re.search(r"each of them needs `([^`]+)` too, and a worker host `([^`]+)`", text)
    assert match is not None
    assert RULE.groups == 2
    more = {"producer": match[1], "operator": match[1], "worker": f"{match[1]} {match[2]}"}
    for who, words in rules().items():
        own = [word.replace("{failover/", "{app/") for word in words]
        for node in cluster.nodes:
            node.say("ACL", "SETUSER", f"failover-{who}", "on", ">secret", *own, *more[who].split())
    url = app.url
    host = start_anywhere("partitions", broker=url.replace("cluster://", "cluster://failover-worker:secret@"))
    app.rebind(url.replace("cluster://", "cluster://failover-producer:secret@"))
    handles = [work.delay() for _ in range(80)]
    handles += [work.options(delay=0.05).delay()]
    for handle in handles:
        assert handle.get(timeout=20) == "bulk"
    app.rebind(url)
    for words in (["queues"], ["audit"], ["dlq", "list"], ["doctor"]):
        told = distq(*words, "--name", "app", user="operator")
        assert "NOPERM" not in told.stdout + told.stderr
        assert told.returncode == 0, told.stdout + told.stderr
    assert host.terminate() == 0
    assert "NOPERM" not in host.log()


def test_a_primary_that_stops_without_a_word(
    start_anywhere: Start, journal: Journal, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replica takes over; what is called durably meanwhile is not lost; then the old one follows."""
    monkeypatch.setattr(app, "timeout", 2.0)
    app.rebind(cluster.url)
    host = start_anywhere("partitions", broker=cluster.url)
    sure = work.options(durable=True)
    handles = [sure.delay() for _ in range(40)]
    victim = holder(cluster, "bulk/1")
    replica = replica_of(cluster, victim)
    victim.process.send_signal(signal.SIGSTOP)
    try:
        while "role:master" not in replica.text("INFO", "replication"):
            with suppress(BrokerUnavailable):  # NotDurable is one: what has no replica any more confirms nothing
                handles.append(sure.delay())
        monkeypatch.undo()
        app.rebind(cluster.url)
        handles += [work.delay() for _ in range(16)]
        for handle in handles:
            assert handle.get(timeout=40) == "bulk"
    finally:
        victim.process.send_signal(signal.SIGCONT)
    eventually(lambda: f"master_port:{replica.port}" in victim.text("INFO", "replication"), "it follows", 30.0)
    eventually(lambda: "master_link_status:up" in victim.text("INFO", "replication"), "it has caught up", 30.0)
    assert host.terminate() == 0
    assert {line.id for line in journal.ends()} >= {handle.id for handle in handles}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_node_that_is_away_does_not_hold_up_the_others(
    number: signal.Signals, start_anywhere: Start, journal: Journal, tmp_path: Path
) -> None:
    """Without a replica it stays away. One process serves all partitions, and has nothing to settle there."""
    with Cluster(tmp_path / "nodes", settings={"cluster-require-full-coverage": "no"}) as cluster:
        app.rebind(cluster.url)
        host = start_anywhere("partitions", broker=cluster.url, processes=1)
        for handle in [work.delay() for _ in range(16)]:
            assert handle.get(timeout=20) == "bulk"
        victim = holder(cluster, "bulk/1")
        others = [name for name in NAMES if holder(cluster, name) is not victim]
        victim.process.send_signal(number)
        for _ in range(3):
            handles = [each.delay() for each in senders(others)]
            for handle in handles:
                assert handle.get(timeout=20) == "bulk"
        if number == signal.SIGSTOP:
            victim.process.send_signal(signal.SIGCONT)
            for handle in [each.delay() for each in senders(NAMES)]:
                assert handle.get(timeout=20) == "bulk"
            assert host.terminate() == 0


def senders(names: list[str]) -> list[Any]:
    """Of the task, each to one partition."""
    app.queues.update(dict.fromkeys(names, app.queues["bulk"]))
    try:
        return [work.options(queue=name) for name in names]
    finally:
        for name in names:
            if name != "bulk":
                del app.queues[name]


def test_ten_thousand_tasks_while_a_primary_dies(start_anywhere: Start, journal: Journal, tmp_path: Path) -> None:
    """All are done, and what runs twice is explained: the node that died had the news of its end, and nobody else."""
    with Cluster(tmp_path / "nodes", replicas=1) as cluster:
        app.rebind(cluster.url)
        handles = work.delay_many([()] * 10_000)
        assert set(Counter(handle.queue for handle in handles).values()) == {1000, 2000}
        given = work.options(id="order-17")
        first = given.delay()
        victim = holder(cluster, "bulk")
        replica = replica_of(cluster, victim)
        goal = offset(victim, "master_repl_offset")
        eventually(lambda: offset(replica, "slave_repl_offset") >= goal, "the replica has all that was sent")
        mine = {name for name in NAMES if holder(cluster, name) is victim}
        assert mine != set(NAMES)

        def kill_in_the_middle() -> None:
            eventually(lambda: len(journal.starts()) > 500, "work has begun", every=0.001)
            victim.kill()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        host = start_anywhere("partitions", broker=cluster.url)
        killer.join()
        eventually(lambda: "role:master" in replica.text("INFO", "replication"), "the replica takes over", 30.0)
        for handle in handles:
            assert handle.get(timeout=60) == "bulk"
        eventually(lambda: first.status() == "completed", "the given one too")
        ran = Counter(line.id for line in journal.starts())
        assert set(ran) == {handle.id for handle in handles} | {"order-17"}
        again = {id for id, times in ran.items() if times > 1}
        queue_of = {handle.id: handle.queue for handle in handles} | {"order-17": "bulk"}
        assert {queue_of[id] for id in again} <= mine, "nothing of another node runs twice"
        assert host.terminate() == 0
        check_all_rules(cluster)


def test_a_schedule_is_where_the_first_partition_is(start_anywhere: Start, journal: Journal, cluster: Cluster) -> None:
    """Its tasks are, too."""
    host = start_anywhere("partitions", "--lease", "2s", broker=cluster.url)
    made = app.schedules.create("it", "@every 1s", work)
    assert made.queue == "bulk"
    assert [schedule.name for schedule in app.schedules.list()] == ["it"]
    eventually(lambda: len(journal.starts()) > 2, "it ticks")
    assert {outcome for _, _, outcome, _ in app.schedules.history("it")} == {"fired"}
    assert app.schedules.trigger("it").get(timeout=20) == "bulk"
    app.schedules.delete("it")
    assert host.terminate() == 0
