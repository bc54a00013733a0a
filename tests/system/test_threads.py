"""Several threads in each process: `distq run -t N`."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distq.embedded import EmbeddedBroker
from distq.result import Handle
from tests.support.apps import threads
from tests.support.apps.threads import app, count, wait, work
from tests.support.eventually import eventually
from tests.support.host import is_alive
from tests.support.journal import Journal, Line
from tests.support.room import Room
from tests.support.rules import check_rules
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


# -- dying and ending ------------------------------------------------------------------------------------------------


def train(number: int = 2000) -> None:
    """Quick tasks, after which many are fetched at a time."""
    all_ended(count.delay_many([(n,) for n in range(number)]))


def test_of_a_killed_process_what_ran_is_suspect_and_not_charged_and_the_rest_goes_back(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    host = start("threads", "-t", "8", processes=1)
    (before,) = host.children
    train()
    host.send(signal.SIGSTOP)  # else it would give back what waits
    done = count.delay_many([(n,) for n in range(20)])
    running = work.delay_many([(str(gate),)] * 8)
    await_starts(journal, running)
    waiting = wait.delay_many([(0.0,)] * 20)
    all_ended(done)
    os.kill(before, signal.SIGKILL)
    host.send(signal.SIGCONT)
    gate.touch()
    all_ended([*running, *waiting])
    assert runs(journal, running) == [2] * 8
    assert set(runs(journal, waiting)) == {1}
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "nobody is charged"
    again = [journal.starts(id=handle.id)[1] for handle in running]
    for line in again:
        end = journal.ends(id=line.id)[-1].at
        beside = [other for other in journal.starts() if other.pid == line.pid and line.at < other.at < end]
        assert beside == [], "a suspect runs alone in its process"
    assert app.result(done[0].id).get(timeout=1) == 0
    check = room.ledger()
    assert check["completed count"] == 2020


def test_verdicts_that_were_on_their_way_when_their_process_died_count_once(
    start_anywhere: Start, journal: Journal, tmp_path: Path, gate: Path
) -> None:
    with EmbeddedBroker(tmp_path / "data") as broker:
        app.rebind(broker.url)
        host = start_anywhere("threads", "-t", "8", processes=1, broker=broker.url)
        (before,) = host.children
        train()
        early, late = work.delay_many([(f"{gate}-early",)] * 4), work.delay_many([(f"{gate}-late",)] * 3)
        running = work.delay(str(gate))
        await_starts(journal, [*early, *late, running])
        os.kill(broker.pid, signal.SIGSTOP)
        Path(f"{gate}-early").touch()
        eventually(lambda: len(journal.ends()) == 4, "they have ended, and a step is on its way")
        time.sleep(0.1)  # nothing shows that it was sent
        Path(f"{gate}-late").touch()
        eventually(lambda: len(journal.ends()) == 7, "others have ended since")
        time.sleep(0.1)
        os.kill(before, signal.SIGKILL)
        gate.touch()
        os.kill(broker.pid, signal.SIGCONT)
        all_ended([*early, *late, running])
        assert runs(journal, [*early, *late]) == [1] * 7
        assert runs(journal, [running]) == [2]
        room = Room(broker.url)
        assert room.ledger()["completed work"] == 8
        check_rules(room)
        room.close()


def test_a_signal_lets_what_runs_finish_and_leaves_what_waits_to_others(
    start: Start, journal: Journal, gate: Path
) -> None:
    host = start("threads", "-t", "4")
    train()
    running = work.delay_many([(str(gate),)] * 8)
    await_starts(journal, running)
    waiting = wait.delay_many([(0.0,)] * 50)
    host.send_all(signal.SIGTERM)
    host.await_log("finishing what runs")
    other = start("threads", "-t", "4")
    all_ended(waiting)
    assert {handle.status() for handle in running} == {"running"}
    gate.touch()
    assert host.wait() == 0
    assert {handle.status() for handle in running} == {"completed"}
    assert set(runs(journal, [*running, *waiting])) == {1}
    assert {line.pid for handle in waiting for line in journal.starts(id=handle.id)} <= set(other.children)


def test_a_second_signal_gives_everything_back_at_once(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "4")
    running = work.delay_many([(str(gate),)] * 8)
    await_starts(journal, running)
    waiting = work.delay_many([()] * 10)
    host.send(signal.SIGTERM)
    host.await_log("finishing what runs")
    host.send(signal.SIGTERM)
    assert host.wait() == 128 + signal.SIGTERM
    assert {handle.status() for handle in running + waiting} == {"queued"}
    gate.touch()
    start("threads", "-t", "4")
    all_ended(running + waiting)
    assert runs(journal, running) == [2] * 8
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "nobody is charged"


def test_a_killed_supervisor_takes_all_threads_along(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "4", "--lease", "1h")
    running, waiting = work.delay_many([(str(gate),)] * 8), work.delay_many([()] * 20)
    await_starts(journal, running)
    host.kill()
    gate.touch()
    start("threads", "-t", "4", "--lease", "1h")
    all_ended(running + waiting)
    assert runs(journal, running) == [2] * 8
    assert set(runs(journal, waiting)) == {1}
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "the first time is not charged"


def test_an_idle_host_with_threads_ends_at_once_and_leaves_nothing_behind(start: Start, room: Room) -> None:
    host = start("threads", "-t", "16", processes=2)
    family = host.tree
    began = time.monotonic()
    assert host.terminate() == 0
    assert time.monotonic() - began < 5
    assert not any(is_alive(pid) for pid in family)
    left = {key.removeprefix(room.prefix).split(":")[0] for key in room.all_keys()}
    assert left <= {"types", "groups", "meta", "lanes", "limits"}, left


def test_a_thread_that_dies_ends_its_process_visibly(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "4", processes=1)
    host.tracebacks_allowed = True
    pid = threads.breaks_its_thread.delay(str(gate)).get(timeout=10)
    gate.touch()
    eventually(lambda: not gate.exists(), "an exception is about to come up in the thread that waits")
    all_ended(work.delay_many([()] * 20))
    assert pid not in host.children
    assert "KeyboardInterrupt" in host.log()
    assert f":{pid}:" in next(line for line in host.log().splitlines() if "exited with code 1" in line)
    assert host.terminate() == 0
