"""Event loops: `distq run --coroutines N`."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distq.errors import TaskFailed
from distq.result import Handle
from tests.support.apps import around, coroutines, resumable
from tests.support.apps.coroutines import app, nap, rest, work
from tests.support.eventually import eventually
from tests.support.host import children_of
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.system.conftest import Start
from tests.system.test_threads import all_ended, await_starts, beside, kill, runs, runs_in

LOOPS = ("--coroutines", "50")


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)
    around.app.rebind(url)


def starts(journal: Journal, handles: list[Handle[Any]]) -> int:
    ids = {handle.id for handle in handles}
    return len(ids & {line.id for line in journal.starts()})


# -- how many --------------------------------------------------------------------------------------------------------


def test_each_kind_has_its_own_seats_all_of_them_and_no_more(start: Start, journal: Journal, gate: Path) -> None:
    start("coroutines", "-t", "3", *LOOPS)
    resting, working = rest.delay_many([(str(gate),)] * 150), work.delay_many([(str(gate),)] * 20)
    eventually(lambda: starts(journal, resting) == 100, "two loops are full")
    eventually(lambda: starts(journal, working) == 6, "two processes of three threads are full")
    time.sleep(0.3)  # nothing shows that no more start
    assert (starts(journal, resting), starts(journal, working)) == (100, 6)
    gate.touch()
    all_ended([*resting, *working])
    rested, worked = ({handle.get() for handle in handles} for handles in (resting, working))
    assert len(rested) == len(worked) == 2
    assert not rested & worked
    assert set(runs(journal, [*resting, *working])) == {1}


def test_neither_kind_waits_for_the_other_whatever_was_enqueued_first(
    start: Start, journal: Journal, gate: Path
) -> None:
    start("coroutines", *LOOPS, processes=1)
    working = work.delay_many([(str(gate),)] * 30)
    await_starts(journal, working[:1])
    all_ended(nap.delay_many([(0.01,)] * 200))
    assert starts(journal, working) == 1, "and it took no thread"
    other_gate = gate.with_name("other")
    resting = rest.delay_many([(str(other_gate),)] * 80)
    eventually(lambda: starts(journal, resting) == 50, "the loop is full")
    gate.touch()
    all_ended([*working, *work.delay_many([()] * 50)])
    assert starts(journal, resting) == 50
    other_gate.touch()
    all_ended(resting)


def test_what_waited_before_the_first_loop_came_is_found_by_it(start: Start, journal: Journal, gate: Path) -> None:
    both = [task.delay(*args) for _ in range(40) for task, args in ((rest, (str(gate),)), (work, ()))]
    resting = both[::2]
    start("coroutines", *LOOPS, processes=1)
    eventually(lambda: starts(journal, resting) == 40, "all coroutines run", 10)
    gate.touch()
    all_ended(both)
    assert set(runs(journal, both)) == {1}


def test_a_full_loop_and_full_threads_ask_for_nothing_again_and_again(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("coroutines", "--coroutines", "5", processes=1)
    held = [*rest.delay_many([(str(gate),)] * 30), *work.delay_many([(str(gate),)] * 10)]
    eventually(lambda: len(journal.starts()) == 6, "all seats are taken")
    time.sleep(0.5)  # the last steps are over
    commands = Monitor(room.url).commands(1.5)
    assert len(commands) <= 8, commands
    gate.touch()
    all_ended(held)


def test_a_queue_that_has_only_coroutines_needs_no_lanes_and_no_threads(
    start: Start, room: Room, journal: Journal
) -> None:
    host = start("coroutines", *LOOPS, "-Q", "other", processes=2)
    handles = coroutines.only_async.delay_many([(n,) for n in range(500)])
    assert [handle.get(timeout=20) for handle in handles] == list(range(500))
    assert len(host.children) == 2
    assert not room.redis.exists(room.key("LANES"))


def test_hosts_without_loops_run_the_same_tasks_beside(start: Start, journal: Journal, gate: Path) -> None:
    start("coroutines", "--coroutines", "5", processes=1)
    resting = rest.delay_many([(str(gate),)] * 12)
    eventually(lambda: starts(journal, resting) == 5, "the loop is full")
    start("coroutines", "-t", "3", processes=1)
    eventually(lambda: starts(journal, resting) == 8, "three run in threads")
    gate.touch()
    all_ended(resting)
    assert set(runs(journal, resting)) == {1}


# -- blocking --------------------------------------------------------------------------------------------------------


def test_what_waits_behind_a_handler_that_blocks_its_loop_goes_elsewhere_and_it_is_named(
    start: Start, journal: Journal
) -> None:
    host = start("coroutines", *LOOPS)
    all_ended(rest.delay_many([()] * 300))
    many = [rest.delay_many([()] * 100)]
    blocker = coroutines.blocks.delay(2.0)
    await_starts(journal, [blocker])
    many += [rest.delay_many([()] * 100)]
    for handles in many:
        all_ended(handles)
    assert not journal.ends(id=blocker.id), "nobody has waited for it"
    blocker.get(timeout=20)
    host.await_log("has blocked the event loop")
    assert f"blocks {blocker.id} has blocked the event loop for more than" in host.log()


# -- deaths and ends -------------------------------------------------------------------------------------------------


def test_of_a_killed_loop_all_come_back_uncharged_and_each_runs_alone(
    start: Start, journal: Journal, gate: Path
) -> None:
    start("coroutines", "--coroutines", "30", "-t", "2", processes=1)
    resting = rest.delay_many([(str(gate),)] * 30)
    await_starts(journal, resting)
    killed = kill(journal.starts()[0].pid)
    gate.touch()
    all_ended(resting, within=40)
    found = runs_in(journal, killed)
    again = [run for run in found if run.line.pid not in killed]
    assert len(again) == 30
    assert {run.line.delivery for run in found} == {1}
    assert [beside(found, run) for run in again] == [[]] * 30


def test_a_coroutine_that_kills_its_process_is_found(start: Start, journal: Journal) -> None:
    start("coroutines", "--coroutines", "20", processes=1)
    good = nap.delay_many([(0.02,)] * 60)
    bad = coroutines.deadly.delay(99)
    all_ended(good)
    with pytest.raises(TaskFailed, match="killed its worker"):
        bad.get(timeout=30)
    assert {line.delivery for line in journal.starts(id=good[0].id)} == {1}


def test_at_the_end_coroutines_finish_and_nothing_new_begins(start: Start, journal: Journal, gate: Path) -> None:
    host = start("coroutines", "--coroutines", "20", processes=1)
    resting = rest.delay_many([(str(gate),)] * 30)
    eventually(lambda: starts(journal, resting) == 20, "the loop is full")
    host.send(signal.SIGTERM)
    host.await_log("finishing what runs")
    gate.touch()
    assert host.wait() == 0
    assert len(journal.ends()) == 20
    start("coroutines", "--coroutines", "20", processes=1)
    all_ended(resting)
    assert set(runs(journal, resting)) == {1}


def test_what_is_not_done_near_the_end_of_the_grace_is_cancelled_and_goes_back(
    start: Start, journal: Journal, gate: Path
) -> None:
    host = start("coroutines", *LOOPS, "--grace", "2s", processes=1)
    long = coroutines.cleans_up.delay_many([(str(gate),)] * 10)
    early = coroutines.cleans_up.delay(str(gate), swallows=True)
    stubborn = coroutines.stubborn.delay(str(gate))
    await_starts(journal, [*long, early, stubborn])
    host.send(signal.SIGTERM)
    assert host.wait() == 0
    cleaned = Path(f"{journal.place}.cleaned").read_text().split()
    assert sorted(cleaned) == sorted(handle.id for handle in [*long, early])
    assert early.get(timeout=5) == "early"
    gate.touch()
    start("coroutines", *LOOPS, processes=1)
    for handle in long:
        assert handle.get(timeout=10) == "attempt 1, delivery 1"
    assert stubborn.get(timeout=10) == 1, "it was killed, and pays nothing"


# -- handlers --------------------------------------------------------------------------------------------------------


def test_each_coroutine_has_its_own_context(start: Start) -> None:
    start("coroutines", "--coroutines", "8", processes=1)
    handles = coroutines.who.delay_many([(0.01,)] * 100)
    for handle in handles:
        assert handle.get(timeout=20) == [handle.id, "", handle.id, handle.id, True]


def test_what_a_coroutine_has_started_ends_with_it(start: Start, journal: Journal) -> None:
    start("coroutines", *LOOPS, processes=1)
    beside = nap.delay(0.5)
    handles = coroutines.leaves.delay_many([(30.0,)] * 10)
    all_ended(handles)
    noted = Path(f"{journal.place}.left").read_text().splitlines()
    assert sorted(noted) == sorted(f"{handle.id} CancelledError" for handle in handles)
    beside.get(timeout=10)


def test_each_coroutine_remembers_how_far_it_is_and_another_loop_goes_on(start: Start, journal: Journal) -> None:
    resumable.app.rebind(app.url)
    host = start("resumable", "--coroutines", "20", processes=1)
    handles = resumable.async_rows.delay_many([(60, 0.02)] * 20)
    eventually(lambda: len(journal.lines("ROW")) > 300, "all are on their way")
    host.send(signal.SIGTERM)
    assert host.wait() == 0
    assert len(journal.lines("ROW")) < 20 * 60, "none was waited for"
    start("resumable", "--coroutines", "20", processes=1)
    all_ended(handles)
    rows = Counter((line.id, line.label) for line in journal.lines("ROW"))
    assert set(rows) == {(handle.id, str(n)) for handle in handles for n in range(60)}
    assert set(rows.values()) == {1}


def test_metrics_count_each_attempt_once(start: Start) -> None:
    host = start("coroutines", *LOOPS, metrics=None)
    found = re.search(r"Metrics server listening on :(\d+)", host.log())
    assert found is not None
    all_ended([*rest.delay_many([()] * 2000), *work.delay_many([()] * 100)])
    with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=10) as answer:
        told = set(answer.read().decode().splitlines())
    assert told >= {
        'distributedq_processed_total{status="success",type="rest"} 2000',
        'distributedq_processed_total{status="success",type="work"} 100',
        'distributedq_task_duration_seconds_count{type="rest"} 2000',
    }


def test_a_resource_is_opened_once_for_all_coroutines_and_lives_as_long_as_their_loop(
    start: Start, journal: Journal
) -> None:
    host = start("coroutines", *LOOPS, processes=1)
    first = coroutines.reads.delay_many([(0.05,)] * 20)
    found = [handle.get(timeout=10) for handle in first]
    assert len({pid for pid, _, _ in found}) == 1
    assert all(before < after for _, before, after in found)
    _, before, after = coroutines.reads.delay(0.1).get(timeout=10)
    assert max(last for _, _, last in found) <= before < after, "the handler that has opened it is gone, and it goes on"
    assert host.terminate() == 0
    assert Path(f"{journal.place}.closed").read_text().split() == [str(found[0][0])]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("cancelled", "CancelledError"), ("cancels itself", "CancelledError"), ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"), ("exit inside", "SystemExit"), ("stop", "RuntimeError"),
        ("", "LookupError"),
    ],
)  # fmt: skip
def test_whatever_ends_a_coroutine_is_its_own_end_and_nobody_elses(
    start: Start, journal: Journal, gate: Path, how: str, error: str
) -> None:
    host = start("coroutines", "--coroutines", "5", processes=1)
    host.tracebacks_allowed = True
    beside = rest.delay(str(gate))
    await_starts(journal, [beside])
    with pytest.raises(TaskFailed, match=error):
        coroutines.ends_badly.delay(how).get(timeout=10)
    all_ended(nap.delay_many([(0.001,)] * 20))
    gate.touch()
    beside.get(timeout=10)
    assert len({line.pid for line in journal.starts()}) == 1


def test_middleware_that_blocks_is_around_coroutines_and_blocks_no_loop(start: Start) -> None:
    host = start("around", *LOOPS, processes=1)
    begun = time.monotonic()
    handles = around.inside.delay_many([(0.05,)] * 20)
    for handle in handles:
        assert handle.get(timeout=20) == [["around", handle.id, True], "around", False]
    assert time.monotonic() - begun < 20 * 0.1, "they ran at the same time"
    plain: Handle[Any] = around.plain.delay()
    assert plain.get(timeout=10) == [1, "around", True]
    assert children_of(host.children[0]) == []


def test_a_handler_that_cancels_whatever_it_reaches_does_not_end_its_worker(start: Start, journal: Journal) -> None:
    host = start("coroutines", "--coroutines", "5", processes=1)
    children = host.children
    with pytest.raises(TaskFailed, match="LookupError"):
        coroutines.ends_badly.delay("cancels all").get(timeout=10)
    all_ended(nap.delay_many([(0.001,)] * 20))
    for each in (("quickly",), ("cancels all at once", *["quickly"] * 9)):
        for handle in coroutines.ends_badly.delay_many([(how,) for how in each] * 20):
            with pytest.raises(TaskFailed, match="LookupError"):  # also those that were to begin with it
                handle.get(timeout=10)
    assert host.children == children
    assert host.terminate() == 0
