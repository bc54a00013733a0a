"""`@app.task(slots=N)`: so many of a type run at a time in one process."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from distq.broker import verbs
from tests.support.apps.slots import app, fetch, mail, pdf, rest
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.system.conftest import Start
from tests.system.test_threads import all_ended, await_starts, most_at_once, runs, runs_in


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def most_by_process(journal: Journal, label: str) -> dict[int, int]:
    """The largest number of a type that a process ran at the same time, as the handlers say."""
    found = [run for run in runs_in(journal) if run.line.label == label]
    return {pid: most_at_once([run for run in found if run.line.pid == pid]) for pid in {run.line.pid for run in found}}


def test_no_more_than_its_slots_run_at_once_and_others_flow_past(start: Start, journal: Journal, gate: Path) -> None:
    start("slots", "-t", "8", processes=1)
    held = pdf.delay_many([(str(gate),)] * 30)
    all_ended(mail.delay_many([()] * 300))
    eventually(lambda: len(journal.starts(label="pdf")) == 2, "both slots are taken")
    gate.touch()
    all_ended(held)
    assert set(most_by_process(journal, "pdf").values()) == {2}
    assert set(runs(journal, held)) == {1}


def test_what_has_no_slot_is_with_the_broker_and_other_processes_take_it(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    first = start("slots", "-t", "8", processes=1)
    held = pdf.delay_many([(str(gate),)] * 5)
    await_starts(journal, held[:2])
    holds = [worker.holds for worker in room.run(verbs.workers(room.prefix))]
    assert [sorted(those) for those in holds] == [sorted(handle.id for handle in held[:2])], "nothing more was fetched"
    second = start("slots", "-t", "8", processes=1)
    eventually(lambda: len(journal.starts(label="pdf")) == 4, "the other process takes two")
    assert Counter(line.pid for line in journal.starts(label="pdf")) == {
        first.children[0]: 2, second.children[0]: 2
    }  # fmt: skip
    start("slots", processes=1)
    eventually(lambda: len(journal.starts(label="pdf")) == 5, "and one of a single thread takes the last")
    gate.touch()
    all_ended(held)


def test_all_are_done_quickly_one_after_the_other_by_both_processes(start: Start, journal: Journal) -> None:
    start("slots", "-t", "8", processes=2)
    handles = [*pdf.delay_many([("", 0.01)] * 100), *mail.delay_many([("", 0.01)] * 200)]
    all_ended(handles)
    most = most_by_process(journal, "pdf")
    assert len(most) == 2
    assert max(most.values()) == 2, most
    assert set(runs(journal, handles)) == {1}


def test_a_slot_that_gets_free_is_for_what_comes_later_too(start: Start, journal: Journal, gate: Path) -> None:
    start("slots", "-t", "8", processes=1)
    for _ in range(20):  # full, idle, and full again: each time the process listens for other markers
        all_ended(pdf.delay_many([()] * 3), 10)
        time.sleep(0.005)
    held = pdf.delay_many([(str(gate),)] * 2)
    await_starts(journal, held)
    other = mail.delay_many([(str(gate),)] * 2)
    await_starts(journal, other)
    gate.touch()
    all_ended([*held, *other])
    all_ended([pdf.delay()], 10)
    assert most_by_process(journal, "pdf").popitem()[1] == 2


def test_a_full_process_asks_for_nothing_again_and_again(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("slots", "-t", "8", processes=1)
    held = pdf.delay_many([(str(gate),)] * 10)
    await_starts(journal, held[:2])
    time.sleep(0.5)  # the last steps are over
    commands = Monitor(room.url).commands(1.5)
    assert len(commands) <= 8, commands
    gate.touch()
    all_ended(held)


def test_in_an_event_loop_and_beside_it_in_threads(start: Start, journal: Journal, gate: Path) -> None:
    start("slots", "-t", "4", "--coroutines", "50", processes=1)
    held = [*fetch.delay_many([(str(gate),)] * 10), *pdf.delay_many([(str(gate),)] * 10)]
    all_ended([*rest.delay_many([()] * 100), *mail.delay_many([()] * 100)])
    eventually(lambda: len(journal.starts(label="fetch")) == 3, "its three slots are taken")
    eventually(lambda: len(journal.starts(label="pdf")) == 2, "and those in the threads")
    gate.touch()
    all_ended(held)
    most = most_by_process(journal, "fetch"), most_by_process(journal, "pdf")
    assert [max(by.values()) for by in most] == [3, 2]


def test_it_holds_in_other_queues_than_its_own_in_all_together(start: Start, journal: Journal, gate: Path) -> None:
    start("slots", "-t", "8", processes=1)
    elsewhere = pdf.options(queue="other")
    held = [*elsewhere.delay_many([(str(gate),)] * 10), *pdf.delay_many([(str(gate),)] * 10)]
    all_ended(mail.options(queue="other").delay_many([()] * 100))
    eventually(lambda: len(journal.starts(label="pdf")) == 2, "both slots are taken")
    gate.touch()
    all_ended(held)
    assert most_by_process(journal, "pdf").popitem()[1] == 2


def test_what_waited_before_there_was_a_lane_moves_into_it(start: Start, journal: Journal, gate: Path) -> None:
    both = [task.delay(*args) for _ in range(20) for task, args in ((pdf, (str(gate),)), (mail, ()))]
    start("slots", "-t", "8", processes=1)
    all_ended(both[1::2])
    eventually(lambda: len(journal.starts(label="pdf")) == 2, "both slots are taken")
    gate.touch()
    all_ended(both)
    assert most_by_process(journal, "pdf").popitem()[1] == 2


def test_after_fresh_code_old_and_new_processes_have_their_slots(start: Start, journal: Journal, gate: Path) -> None:
    host = start("slots", "-t", "8", processes=1)
    held = pdf.delay_many([(str(gate),)] * 6)
    await_starts(journal, held[:2])
    host.send(signal.SIGHUP)
    eventually(lambda: len(journal.starts(label="pdf")) == 4, "the successor takes two")
    all_ended(mail.delay_many([()] * 50))
    gate.touch()
    all_ended(held)
    assert set(most_by_process(journal, "pdf").values()) == {2}


def test_as_many_slots_as_threads_are_no_limit_and_cost_nothing(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("slots", "-t", "2", processes=1)
    held = pdf.delay_many([(str(gate),)] * 4)
    await_starts(journal, held[:2])
    assert not room.redis.exists(room.key("LANES"))
    gate.touch()
    all_ended(held)
