"""Several threads in each process: `distq run -t N`."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distq.result import Handle
from tests.support.apps import threads
from tests.support.apps.threads import app, count, wait, work
from tests.support.eventually import eventually
from tests.support.journal import Journal, Line
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def all_ended(handles: list[Handle[Any]], within: float = 30) -> None:
    for handle in handles:
        handle.get(timeout=within)


def await_starts(journal: Journal, handles: list[Handle[Any]]) -> None:
    ids = {handle.id for handle in handles}
    eventually(lambda: ids <= {line.id for line in journal.starts()}, f"all {len(ids)} have started")


def runs(journal: Journal, handles: list[Handle[Any]]) -> list[int]:
    """How often each was started."""
    started = Counter(line.id for line in journal.starts())
    return [started[handle.id] for handle in handles]


def most_at_once(lines: list[Line]) -> int:
    """The largest number of runs that were going on at the same time."""
    most = number = 0
    for line in sorted(lines, key=lambda line: line.at):
        number += 1 if line.event == "START" else -1
        most = max(most, number)
    return most


# -- how many --------------------------------------------------------------------------------------------------------


def test_as_many_run_at_once_as_there_are_threads_and_never_more(start: Start, journal: Journal, gate: Path) -> None:
    start("threads", "-t", "4")
    held = work.delay_many([(str(gate),)] * 30)
    eventually(lambda: len(journal.starts()) == 8, "two processes of four threads are full")
    more = wait.delay_many([(0.005,)] * 200)
    time.sleep(0.3)  # nothing shows that no more start
    assert len(journal.starts()) == 8
    gate.touch()
    all_ended([*held, *more])
    assert most_at_once(journal.lines()) == 8
    assert set(Counter(line.pid for line in journal.starts()[:8]).values()) == {4}
    assert set(runs(journal, [*held, *more])) == {1}


# -- several queues --------------------------------------------------------------------------------------------------


def test_a_queue_that_is_never_empty_does_not_keep_the_others_waiting(start: Start, journal: Journal) -> None:
    wait.delay_many([(0.01, "many")] * 3000)
    start("threads", "-t", "2", processes=1)
    eventually(lambda: len(journal.starts()) > 20, "it works")
    others = [threads.work_other.delay(), threads.work_third.delay()]
    all_ended(others)
    assert len(journal.starts(label="many")) < 2000


def test_each_queue_wakes_its_worker_whichever_became_empty_first(start: Start, journal: Journal, gate: Path) -> None:
    start("threads", "-t", "3", processes=1)
    all_ended([work.delay(), threads.work_other.delay(), threads.work_third.delay()])
    began = time.monotonic()
    for task in (threads.work_other, work, threads.work_third, work, threads.work_other, threads.work_third) * 5:
        task.delay().get(timeout=30)
    busy = work.delay(str(gate))
    await_starts(journal, [busy])
    for task in (threads.work_other, work, threads.work_third, work, threads.work_other, threads.work_third) * 5:
        task.delay().get(timeout=30)
    assert time.monotonic() - began < 10, "nobody waited for the safety net"
    gate.touch()
    busy.get(timeout=10)


# -- results ---------------------------------------------------------------------------------------------------------


def test_results_that_do_not_fit_on_the_board_together(start: Start, journal: Journal) -> None:
    start("threads", "-t", "4", processes=1)
    all_ended(count.delay_many([(n,) for n in range(2000)]))
    handles = threads.large.delay_many([(1_000_000,)] * 60)
    assert [len(handle.get(timeout=30)) for handle in handles] == [1_000_000] * 60
    assert set(runs(journal, handles)) == {1}
