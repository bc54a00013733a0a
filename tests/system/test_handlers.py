"""Handlers may do anything to their process: the work goes on, and nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.apps import handlers
from tests.support.apps.handlers import app, ok
from tests.support.eventually import eventually
from tests.support.host import is_alive
from tests.support.journal import Journal
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def test_a_handler_calls_other_tasks_and_waits_for_them(start: Start) -> None:
    start("handlers")
    assert handlers.asks_another.delay(41).get(timeout=30) == 42
    assert handlers.asks_many.delay(20).get(timeout=30) == sum(range(20))


def test_many_large_results_of_one_process_all_arrive(start: Start) -> None:
    start("handlers", processes=1)
    for handle in handlers.large.delay_many([(1,)] * 400):  # quick, so that the next ones are fetched together
        handle.get(timeout=30)
    handles = handlers.large.delay_many([(1_000_000,)] * 24)
    assert [len(handle.get(timeout=30)) for handle in handles] == [1_000_000] * 24


def test_the_child_of_a_handler_that_forks_never_becomes_a_worker(start: Start, journal: Journal) -> None:
    host = start("handlers", processes=1)
    (worker,) = host.children
    handles = [ok.delay(0), handlers.forks.delay(1), *(ok.delay(n) for n in range(2, 100))]
    assert [handle.get(timeout=30) for handle in handles] == list(range(100))
    starts = [line.id for line in journal.starts()]
    assert [starts.count(handle.id) for handle in handles] == [1] * 100
    assert {line.pid for line in journal.starts()} == {worker}
    assert host.tree[2:] == [worker], "nobody else is left"


def test_a_handler_that_closes_every_file_completes_and_its_process_is_replaced(start: Start, journal: Journal) -> None:
    host = start("handlers", processes=1)
    host.tracebacks_allowed = True
    handle = handlers.closes_all_files.delay()
    before = handle.get(timeout=30)
    assert ok.delay(7).get(timeout=30) == 7
    assert host.children != [before]
    assert len(journal.starts(id=handle.id)) == 1


def test_a_handler_that_rearranges_its_process_harms_nobody(start: Start, tmp_path: Path) -> None:
    host = start("handlers", processes=1)
    before = handlers.rearranges_its_process.delay(str(tmp_path)).get(timeout=30)
    assert handlers.large.delay(7).get(timeout=30) == bytes(7)
    assert host.children == [before]
    assert host.terminate() == 0


def test_a_thread_that_a_handler_leaves_behind_does_not_keep_the_host_from_ending(start: Start) -> None:
    host = start("handlers", processes=1)
    before = handlers.leaves_a_thread.delay().get(timeout=30)
    assert ok.delay(1).get(timeout=30) == 1
    assert host.children == [before]
    assert host.terminate() == 0


def test_a_program_that_a_handler_starts_neither_disturbs_nor_keeps_the_host(start: Start, tmp_path: Path) -> None:
    host = start("handlers", processes=1)
    gate = tmp_path / "gate"
    program = handlers.starts_a_program.delay(str(gate)).get(timeout=30)
    assert ok.delay(1).get(timeout=30) == 1
    assert host.terminate() == 0
    assert is_alive(program), "what a handler started is its own business"
    gate.touch()
    eventually(lambda: not is_alive(program), "it ends by itself")
