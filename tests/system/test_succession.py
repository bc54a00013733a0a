"""Processes are replaced while work goes on: by fresh code, and when they are worn out."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from distq.supervisor.footprint import own_memory
from tests.support.apps.releases import app, await_gate, await_seconds, leak, wait
from tests.support.eventually import eventually
from tests.support.host import is_alive
from tests.support.journal import Journal, Line
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


@pytest.fixture
def release(journal: Journal) -> Path:
    return journal.place.parent / "release"


def most_at_once(lines: list[Line]) -> int:
    """How many ran at the same time."""
    most = now = 0
    for line in sorted(lines, key=lambda line: (line.at, line.event)):
        now += 1 if line.event == "START" else -1
        most = max(most, now)
    return most


KINDS = pytest.mark.parametrize(
    ("options", "seats", "task"),
    [((), 2, wait), (("-t", "3"), 6, wait), (("--coroutines", "5"), 10, await_seconds)],
    ids=["one thread", "threads", "coroutines"],
)


@KINDS
def test_hup_brings_fresh_code_and_nothing_is_lost_or_runs_twice(
    start: Start, journal: Journal, release: Path, options: tuple[str, ...], seats: int, task: object
) -> None:
    host = start("releases", *options)
    before = host.children
    handles = task.delay_many([(0.01,)] * 100 * seats)  # type: ignore[attr-defined]
    eventually(lambda: len(journal.ends()) >= 10 * seats, "it works")
    release.write_text("2")
    host.send(signal.SIGHUP)
    for handle in handles:
        handle.get(timeout=30)
    starts = journal.starts()
    assert len(starts) == len({line.id for line in starts}) == 100 * seats, "each once"
    assert {line.delivery for line in starts} == {1}
    assert most_at_once(journal.lines()) <= seats
    labels = [line.label for line in starts]
    assert labels[0] == "1"
    assert labels[-1] == "2", "the old code is gone before the work is"
    assert app.enqueue("newer").get(timeout=10) == "newer"
    eventually(lambda: not any(is_alive(pid) for pid in before), "the processes of the old code are gone")
    eventually(lambda: len(host.children) == len(before), "there are as many as before")


@KINDS
def test_a_rolling_restart_leaves_one_process_less_at_most(
    start: Start, journal: Journal, release: Path, options: tuple[str, ...], seats: int, task: object
) -> None:
    """By what the tasks themselves have written: how many of the seats were busy while all this went on."""
    host = start("releases", *options)
    handles = task.delay_many([(0.02,)] * 60 * seats)  # type: ignore[attr-defined]
    eventually(lambda: len(journal.ends()) >= 10 * seats, "it works")
    release.write_text("2")
    host.send(signal.SIGHUP)
    for handle in handles:
        handle.get(timeout=30)
    lines = sorted(journal.lines(), key=lambda line: line.at)[20 * seats : -10 * seats]
    busy = sum((later.at - line.at) * running for line, later, running in _running(lines, journal))
    assert busy >= (lines[-1].at - lines[0].at) * seats * 0.5, "N is 2: half of the seats were busy all the time"


def _running(lines: list[Line], journal: Journal) -> list[tuple[Line, Line, int]]:
    """Between each two lines so many ran."""
    found = []
    now = sum(1 if line.event == "START" else -1 for line in journal.lines() if line.at < lines[0].at)
    for line, later in pairwise(lines):
        now += 1 if line.event == "START" else -1
        found.append((line, later, now))
    return found


def test_code_that_cannot_be_imported_changes_nothing(start: Start, journal: Journal, release: Path) -> None:
    host = start("releases")
    before = host.children
    release.write_text("broken")
    host.send(signal.SIGHUP)
    host.await_log("cannot be loaded again, and what was loaded before goes on")
    assert "this release cannot be imported" in host.log()
    assert wait.delay(0).get(timeout=10)[0] == "1"
    assert host.children == before
    release.write_text("2")
    host.send(signal.SIGHUP)
    eventually(lambda: wait.delay(0).get(timeout=10)[0] == "2", "new code")
    assert host.terminate() == 0


def test_fresh_code_with_another_queue_is_used_and_the_host_says_how_to_serve_that(
    start: Start, journal: Journal, release: Path
) -> None:
    host = start("releases", "--coroutines", "2", "--exclude-types", "compute")
    release.write_text("with a queue")
    host.send(signal.SIGHUP)
    host.await_log("is replaced: the application was loaded afresh", times=4)
    assert "start this host again to serve new queues: later\n" in host.log()
    eventually(lambda: wait.delay(0).get(timeout=10)[0] == "with a queue", "new code")
    app.queue("later")
    waits = app.enqueue("in_later", queue="later")
    other = start("releases", "--coroutines", "2", "--exclude-types", "compute")
    assert waits.get(timeout=10) == "later"
    assert host.terminate() == 0
    release.write_text("2")
    other.send(signal.SIGHUP)
    other.await_log("is replaced: the application was loaded afresh", times=4)
    assert "not declared any more, and served until this host is started again: later\n" in other.log()
    assert app.enqueue("newer", queue="later").get(timeout=20) == "newer"


def test_fresh_code_of_another_application_is_refused(start: Start, journal: Journal, release: Path) -> None:
    host = start("releases")
    release.write_text("renamed")
    host.send(signal.SIGHUP)
    host.await_log("goes on: it has another name or broker now, for which this host has to be started again")
    assert wait.delay(0).get(timeout=10)[0] == "1"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_long_task_keeps_its_process_and_no_other_seat(
    start: Start, journal: Journal, release: Path, tmp_path: Path, threads: str
) -> None:
    gate = tmp_path / "gate"
    host = start("releases", "-t", threads, processes=2)
    long = await_gate.delay(str(gate))
    eventually(lambda: journal.starts(id=long.id), "it runs")
    for number in ("2", "3", "4") if threads == "1" else ("4",):
        release.write_text(number)
        host.send(signal.SIGHUP)
        eventually(lambda number=number: wait.delay(0.001).get(timeout=10)[0] == number, "new code")  # type: ignore[misc]
    if threads == "3":
        host.await_log("is replaced: the application was loaded afresh", times=2)
        eventually(lambda: len(host.children) == 1, "of the old ones only that one is there")
    handles = wait.delay_many([(0.01,)] * 100)
    for handle in handles:
        assert handle.get(timeout=10)[0] == "4"
    assert most_at_once(journal.lines()) <= 2 * int(threads)
    assert long.status() == "running"
    gate.touch()
    assert long.get(timeout=10) == "1", "it ends with the code with which it began"
    eventually(lambda: len(host.children) == 2, "its process is gone")
    assert len(journal.starts(id=long.id)) == 1


def test_a_successor_that_is_killed_is_followed_by_another(start: Start, journal: Journal, release: Path) -> None:
    host = start("releases", "-t", "2", processes=1)
    handles = wait.delay_many([(0.01,)] * 300)
    eventually(lambda: len(journal.ends()) >= 20, "it works")
    host.send(signal.SIGHUP)
    host.await_log("is replaced")
    for pid in host.children:
        os.kill(pid, signal.SIGKILL)
    for handle in handles:
        handle.get(timeout=30)
    assert most_at_once(journal.lines()) <= 2 + 4, "what was killed wrote no end"
    eventually(lambda: len(host.children) == 1, "one is there")


@pytest.mark.parametrize("options", [("-t", "1"), ("-t", "3")], ids=["one thread", "threads"])
def test_after_its_tasks_a_process_is_replaced(start: Start, journal: Journal, options: tuple[str, ...]) -> None:
    host = start("releases", "--max-tasks-per-child", "20", *options)
    for handle in wait.delay_many([(0.001,)] * 300):
        handle.get(timeout=30)
    starts = journal.starts()
    pids = [line.pid for line in starts]
    assert len(starts) == len({line.id for line in starts}) == 300
    assert max(pids.count(pid) for pid in set(pids)) <= 20
    assert most_at_once(journal.lines()) <= 2 * int(options[1])
    host.await_log("is replaced: it was to run 20 tasks")
    assert host.terminate() == 0


def test_a_process_that_grows_is_replaced_and_memory_is_bounded(start: Start, journal: Journal) -> None:
    host = start("releases", "--max-memory-per-child", "60M", processes=2)
    handles = leak.delay_many([(200,)] * 1500)  # 300 MB in all
    most = 0

    def are_done() -> bool:
        nonlocal most
        most = max(most, *(own_memory(pid, 0) for pid in host.children), 0)
        return len(journal.ends()) == len(handles)

    eventually(are_done, "all have run", within=60)
    pids = {line.pid for line in journal.starts()}
    assert len(pids) > 2, "they were replaced"
    assert len(journal.starts()) == 1500
    assert most < 130 << 20, "each would have 150 MB"
    assert "MiB of its own" in host.log()


def test_a_process_that_begins_too_large_is_not_replaced_before_it_has_run_something(start: Start) -> None:
    host = start("releases", "--max-memory-per-child", "1M", processes=1)
    (before,) = host.children
    host.await_log("before its first task, more than --max-memory-per-child")
    assert wait.delay(0).get(timeout=10)[1] == before
    host.await_log("MiB of its own\n")
    eventually(lambda: not is_alive(before), "it is gone")
    assert host.terminate() == 0


def test_a_process_that_is_old_is_replaced_also_when_nothing_runs(start: Start) -> None:
    host = start("releases", "--max-lifetime", "1s", processes=1)
    (before,) = host.children
    host.await_log("s old")
    eventually(lambda: not is_alive(before), "it is gone")
    assert wait.delay(0).get(timeout=10)[1] != before
