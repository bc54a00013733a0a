"""Batches on real hosts: what is together, who fails, and who pays for a process that dies."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from distq import TaskFailed
from distq.result import Handle
from tests.support.apps import batches
from tests.support.apps.batches import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.system.conftest import Start

WAYS = [(), ("-t", "3"), ("--coroutines", "10")]
"""A process of one thread, of several, with an event loop."""


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def ended(handles: list[Handle[Any]]) -> list[Any]:
    """The result of each, or the type of its error."""
    found = []
    for handle in handles:
        try:
            found.append(handle.get(timeout=60))
        except TaskFailed as error:
            found.append(error.type)
    return found


def together(journal: Journal) -> list[str]:
    return [line.label for line in journal.starts()]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_batches_fill_by_key_and_the_rest_goes_after_its_time(
    start: Start, journal: Journal, way: tuple[str, ...]
) -> None:
    handles = [batches.index.delay({"shard": shard, "name": f"{shard}{n}"}) for n in range(7) for shard in "ab"]
    start("batches", *way, processes=1)
    assert ended(handles) == [f"{shard}{n}!" for n in range(7) for shard in "ab"]
    found = sorted(together(journal))
    assert found == ["a0,a1,a2,a3,a4", "a5,a6", "b0,b1,b2,b3,b4", "b5,b6"]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_item_that_fails_is_tried_again_and_the_others_are_done(
    start: Start, journal: Journal, way: tuple[str, ...]
) -> None:
    start("batches", *way, processes=1)
    fails = [0, 1, 0, 9, 0]
    calls = [({"shard": "a", "name": f"a{n}", "fails": often},) for n, often in enumerate(fails)]
    assert ended(batches.index.delay_many(calls)) == ["a0!", "a1!", "a2!", "ValueError", "a4!"]
    assert together(journal)[0] == "a0,a1,a2,a3,a4"
    names = [name for label in together(journal) for name in label.split(",")]
    assert [names.count(f"a{n}") for n in range(5)] == [1, 2, 1, 3, 1]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_coroutine_tells_its_failures_apart(start: Start, journal: Journal, way: tuple[str, ...]) -> None:
    start("batches", *way, processes=1)
    first = batches.apart.delay_many([(2,), (3,), (4,)])
    assert [first[0].get(timeout=60), first[2].get(timeout=60)] == [None, None]
    others = batches.apart.delay_many([(6,), (8,)])
    assert ended([first[1], *others]) == ["ValueError", None, None]
    assert together(journal)[0] == "2,3,4"


@pytest.mark.parametrize("way", WAYS[:2], ids=str)
def test_poison_dies_alone_and_its_neighbours_are_done(start: Start, journal: Journal, way: tuple[str, ...]) -> None:
    start("batches", *way, "--max-deliveries", "2", processes=1)
    handles = batches.poisoned.delay_many([("a",), ("poison",), ("b",), ("c",)])
    assert ended(handles) == [None, "WorkerKilled", None, None]
    labels = together(journal)
    assert labels[0] == "a,poison,b,c"
    assert sorted(labels[1:]) == ["a", "b", "c", "poison", "poison"]


def test_at_most_once_nothing_of_a_batch_runs_again(start: Start, journal: Journal) -> None:
    start("batches", processes=1)
    handles = batches.once.delay_many([(1,), (2,), (3,)])
    assert ended(handles) == ["MayHaveRun"] * 3
    assert together(journal) == ["1,2,3"]


def test_at_the_hard_limit_each_runs_again_alone(start: Start, journal: Journal) -> None:
    start("batches", processes=1)
    handles = batches.stuck.delay_many([("a",), ("stuck",), ("b",)])
    assert ended(handles) == [None, "TimeLimit", None]
    assert sorted(together(journal)) == ["a", "a,stuck,b", "b", "stuck"]


@pytest.mark.parametrize("way", WAYS[:2], ids=str)
def test_the_soft_limit_is_that_of_the_batch(start: Start, journal: Journal, way: tuple[str, ...]) -> None:
    start("batches", *way, processes=1)
    handles = batches.slow.delay_many([("a",), ("b",), ("c",)])
    assert ended(handles) == ["SoftTimeLimit"] * 3
    assert together(journal) == ["a,b,c"]


def test_cancelling_one_that_runs_ends_the_batch_for_nobody(start: Start, journal: Journal, gate: Path) -> None:
    start("batches", processes=1)
    handles = batches.gated.delay_many([(str(gate),), (str(gate),)])
    eventually(lambda: len(together(journal)) == 1, "the batch runs")
    handles[0].cancel(running=True)
    gate.touch()
    assert ended(handles) == [None, None]
    assert len(together(journal)) == 1


def test_a_host_that_drains_ends_its_batch_and_leaves_what_waits(start: Start, journal: Journal, gate: Path) -> None:
    host = start("batches", processes=1)
    handles = batches.gated.delay_many([(str(gate),)] * 4)
    eventually(lambda: len(together(journal)) == 1, "the first batch runs")
    host.send(signal.SIGTERM)
    host.await_log("finishing what runs")
    gate.touch()
    assert host.wait() == 0
    start("batches", processes=1)
    assert ended(handles) == [None] * 4
    assert len(together(journal)) == 2
