"""Several threads in each process: `distq run -t N`."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from distq import message
from distq.broker import inspect
from distq.broker.scripts import script
from distq.embedded import EmbeddedBroker
from distq.result import Handle
from distq.worker.line import BLOCK_S, REPLY_S
from tests.support.apps import threads
from tests.support.apps.threads import app, count, wait, work
from tests.support.eventually import eventually
from tests.support.host import children_of, is_alive, state_of
from tests.support.journal import Journal, Line
from tests.support.monitor import Monitor
from tests.support.proxy import Delay, Proxy, Stall
from tests.support.regex import stuck_for
from tests.support.room import Room
from tests.support.rules import check_rules
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


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


@dataclass
class Run:
    """One run of a task, from its START to its END, or to the death of its process."""

    line: Line
    end: float


def runs_in(journal: Journal, killed: dict[int, float] | None = None) -> list[Run]:
    """All of them; `killed`: when which process was."""
    ends = {(line.id, line.pid, line.attempt, line.delivery): line.at for line in journal.ends()}
    deaths = killed or {}
    return [
        Run(line, ends.get((line.id, line.pid, line.attempt, line.delivery), deaths.get(line.pid, float("inf"))))
        for line in journal.starts()
    ]


def most_at_once(found: list[Run]) -> int:
    """The largest number that went on at the same time."""
    most = number = 0
    for _, change in sorted([(run.line.at, 1) for run in found] + [(run.end, -1) for run in found]):
        number += change
        most = max(most, number)
    return most


def beside(found: list[Run], run: Run) -> list[Run]:
    """What ran in the same process at any time of this run."""
    return [
        other
        for other in found
        if other is not run and other.line.pid == run.line.pid and other.line.at < run.end and run.line.at < other.end
    ]


def kill(pid: int) -> dict[int, float]:
    """kill -9 of a worker process: when it was."""
    os.kill(pid, signal.SIGKILL)
    return {pid: time.monotonic()}


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
    assert most_at_once(runs_in(journal)) == 8
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
    tasks = (threads.work_other, work, threads.work_third, work, threads.work_other, threads.work_third) * 5
    for task in tasks:
        task.delay().get(timeout=BLOCK_S / 2)
    busy = [work.delay(str(gate)), threads.work_other.delay(str(gate))]
    await_starts(journal, busy)
    for task in tasks:
        task.delay().get(timeout=BLOCK_S / 2)
    third = threads.work_third.delay(str(gate))
    await_starts(journal, [third])  # now it is full; then two queues become empty at once
    gate.touch()
    all_ended([*busy, third])
    for task in tasks:
        task.delay().get(timeout=BLOCK_S / 2)


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
    killed = kill(before)
    host.send(signal.SIGCONT)
    gate.touch()
    all_ended([*running, *waiting])
    assert runs(journal, running) == [2] * 8
    assert set(runs(journal, waiting)) == {1}
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "nobody is charged"
    found = runs_in(journal, killed)
    again = [run for run in found if run.line.id in {handle.id for handle in running} and run.line.pid != before]
    assert [beside(found, run) for run in again] == [[]] * 8, "a suspect runs alone in its process"
    assert most_at_once(found) == 8
    assert app.result(done[0].id).get(timeout=1) == 0
    assert room.ledger()["completed count"] == 2020


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
        assert host.terminate() == 0, "it need not look for a broker that is gone"


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
    assert host.terminate() == 0
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


# -- stopped, and held up --------------------------------------------------------------------------------------------


def test_a_host_that_was_stopped_for_longer_than_its_lease_settles_and_starts_nothing_of_what_it_had(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    stopped = start("threads", "-t", "4", "--lease", "1s", processes=1)
    (old,) = stopped.children
    train()
    stopped.send(signal.SIGSTOP)  # the supervisor first: it would take away what is not started
    running = work.delay_many([(str(gate),)] * 4)
    await_starts(journal, running)
    waiting = wait.delay_many([(0.0,)] * 10)
    stopped.send_all(signal.SIGSTOP)
    eventually(lambda: state_of(old) == "T", "it stands still")
    gate.touch()
    other = start("threads", "-t", "4", "--lease", "1s", processes=1)
    all_ended([*running, *waiting])
    assert old not in {handle.get() for handle in running}
    ledger = room.ledger()
    stopped.send_all(signal.SIGCONT)
    eventually(lambda: len([line for line in journal.ends() if line.pid == old]) == 4, "it finishes what it ran")
    assert other.terminate() == 0
    all_ended(work.delay_many([()] * 20))
    assert {line.pid for line in journal.starts()[-20:]} == {old}, "it goes on working"
    assert room.ledger()["completed work"] == ledger["completed work"] + 20, "its verdicts were refused"
    assert runs(journal, running) == [2] * 4
    assert set(runs(journal, waiting)) == {1}, "and it has not started what it had fetched"


def when_known(handles: list[Handle[Any]]) -> dict[str, float]:
    """When each was seen to be completed."""
    known: dict[str, float] = {}

    def look() -> bool:
        done = [handle for handle in handles if handle.id not in known and handle.status() == "completed"]
        known.update({handle.id: time.monotonic() for handle in done})
        return len(known) == len(handles)

    eventually(look, "all are completed", within=60)
    return known


def test_what_is_finished_or_waits_behind_a_handler_that_keeps_the_interpreter_does_not_wait_for_it(
    start: Start, journal: Journal, gate: Path
) -> None:
    start("threads", "-t", "4", processes=2)
    size = stuck_for(2.0)
    all_ended(wait.delay_many([(0.0,)] * 500))  # quick tasks, after which many are fetched at a time
    neighbours = wait.delay_many([(0.0,)] * 20)
    slow = threads.keeps_the_interpreter.delay(size)
    neighbours += wait.delay_many([(0.0,)] * 40)
    known = when_known(neighbours)
    slow.get(timeout=60)
    (began,), (ended,) = journal.starts(id=slow.id), journal.ends(id=slow.id)
    late = {id for id, at in known.items() if at > (began.at + ended.at) / 2}
    # What another thread of the process had begun stands still, like that thread.
    stand_still = {line.id for line in journal.starts() if line.pid == began.pid and line.at < ended.at}
    assert late <= stand_still, f"{len(late - stand_still)} neighbours have waited"
    assert len(late) < 4
    assert set(runs(journal, neighbours)) == {1}


def test_what_a_step_brings_to_a_process_that_does_not_read_its_answer_goes_elsewhere(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    with Proxy(room.url) as proxy:
        slow = start("threads", "-t", "3", processes=1, broker=proxy.url)
        train()
        busy = work.delay(str(gate))
        await_starts(journal, [busy])
        answer = Stall(match=script("step").sha, client="distq-worker")
        with proxy.fault(answer):
            handles = count.delay_many([(n,) for n in range(20)])
            eventually(lambda: answer.met, "a step is on its way")
            start("threads", "-t", "3", processes=1)
            all_ended(handles, within=REPLY_S / 2)
        gate.touch()
        all_ended([busy])
        assert slow.terminate() == 0
    assert runs(journal, [busy]) == [1]


def test_a_process_on_a_slow_network_keeps_what_its_steps_bring(start: Start, room: Room, gate: Path) -> None:
    with Proxy(room.url) as proxy:
        slow = start("threads", "-t", "3", processes=1, broker=proxy.url)
        busy = work.delay(str(gate))
        with proxy.fault(Delay(seconds=0.1)):
            handles = count.delay_many([(n,) for n in range(100)])
            all_ended(handles)
        gate.touch()
        all_ended([busy])
        assert slow.terminate() == 0


# -- handlers --------------------------------------------------------------------------------------------------------


def test_each_thread_has_its_own_current_task(start: Start) -> None:
    start("threads", "-t", "8", processes=1)
    handles = threads.who.delay_many([(0.01,)] * 100)
    told = [handle.get(timeout=30) for handle in handles]
    assert [before for before, _, _ in told] == [after for _, after, _ in told] == [handle.id for handle in handles]
    assert len({name for _, _, name in told}) == 8


def test_async_handlers_run_in_threads_each_on_a_loop_of_its_own(start: Start, journal: Journal) -> None:
    start("threads", "-t", "8", processes=1)
    handles = threads.rests.delay_many([(0.05,)] * 40)
    for handle in handles:
        id, thread, same_id, same_thread = handle.get(timeout=30)
        assert (id, thread) == (same_id, same_thread) == (handle.id, thread)
    assert most_at_once(runs_in(journal)) == 8


def test_a_handler_that_forks_beside_others_leaves_no_second_worker(start: Start, journal: Journal) -> None:
    host = start("threads", "-t", "8", processes=1)
    handles: list[Handle[Any]] = []
    for n in range(30):
        handles += [threads.forks.delay(n), *count.delay_many([(n,)] * 5), wait.delay(0.003)]
    all_ended(handles)
    assert [handle.get() for handle in handles[::7]] == list(range(30))
    assert set(runs(journal, handles[::7])) == {1}
    assert len(host.children) == 1
    assert children_of(host.children[0]) == []


def test_metrics_count_each_attempt_once(start: Start) -> None:
    host = start("threads", "-t", "16", metrics=None)
    found = re.search(r"Metrics server listening on :(\d+)", host.log())
    assert found is not None
    all_ended([*count.delay_many([(n,) for n in range(5000)]), *threads.fails_at_first.delay_many([(1,)] * 500)])
    with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=10) as answer:
        told = set(answer.read().decode().splitlines())
    assert told >= {
        'distributedq_processed_total{status="success",type="count"} 5000',
        'distributedq_processed_total{status="success",type="fails_at_first"} 500',
        'distributedq_processed_total{status="retry",type="fails_at_first"} 500',
        'distributedq_task_duration_seconds_count{type="count"} 5000',
        'distributedq_task_duration_seconds_count{type="fails_at_first"} 1000',
    }


# -- the broker, and other hosts -------------------------------------------------------------------------------------


def test_a_broker_that_restarts_with_its_data_loses_nothing_and_nothing_runs_twice(
    start_anywhere: Start, journal: Journal, tmp_path: Path, port: int, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"redis://127.0.0.1:{port}/0"
    monkeypatch.setattr(app, "timeout", 30.0)
    app.rebind(address)
    with EmbeddedBroker(tmp_path / "data", port=port):
        host = start_anywhere("threads", "-t", "16", broker=address)
        slow = work.delay(str(gate))
        await_starts(journal, [slow])
        handles = wait.delay_many([(0.02,)] * 1500)
        eventually(lambda: len(journal.ends()) >= 100, "it works")
    gate.touch()
    eventually(lambda: journal.ends(id=slow.id), "a task ends while the broker is away")
    with EmbeddedBroker(tmp_path / "data", port=port) as broker:
        eventually(lambda: len(journal.ends()) >= 600, "it works again")
        os.kill(broker.pid, signal.SIGSTOP)
        time.sleep(0.5)  # nothing shows that somebody waits for it
        os.kill(broker.pid, signal.SIGCONT)
        all_ended([slow, *handles])
        assert runs(journal, [slow, *handles]) == [1] * 1501
        assert host.terminate() == 0
        room = Room(address)
        check_rules(room)
        room.close()


def test_connections_that_break_lose_nothing_and_nothing_runs_twice(start: Start, room: Room, journal: Journal) -> None:
    start("threads", "-t", "8", "-Q", "default,other")
    handles: list[Handle[Any]] = []
    with redis.Redis.from_url(room.url) as trouble:
        for turn in range(12):
            trouble.script_flush()
            if turn % 2:
                trouble.client_kill_filter(_type="normal", skipme=True)
            for _ in range(20):
                handles += [work.delay(), threads.work_other.delay(), *wait.delay_many([(0.003,)] * 5)]
                handles[-1].get(timeout=30)
    all_ended(handles)
    assert runs(journal, handles) == [1] * len(handles)
    assert len(journal.starts()) == len(handles)


def test_a_host_that_is_full_or_ends_leaves_no_task_unseen(start: Start, journal: Journal, gate: Path) -> None:
    """It hears of each, since it listens until it is full; somebody else has to be told."""
    full = start("threads", "-t", "2", "--lease", "1h", processes=1)
    held = [work.delay(str(gate), "held")]
    await_starts(journal, held)
    other = start("threads", "-t", "2", "--lease", "1h", processes=1)
    for _ in range(20):
        all_ended([work.delay(), work.delay(), work.delay()], within=BLOCK_S / 2)
    full.send(signal.SIGTERM)
    full.await_log("finishing what runs")
    for _ in range(20):
        work.delay().get(timeout=BLOCK_S / 2)
    gate.touch()
    all_ended(held)
    assert full.wait() == 0
    assert other.terminate() == 0


def test_a_rate_holds_over_all_threads_of_all_hosts(start: Start, journal: Journal) -> None:
    start("threads", "-t", "8")
    start("threads", "-t", "8")
    all_ended(threads.limited.delay_many([()] * 60))
    times = sorted(line.at for line in journal.starts())
    assert len(times) == 60
    crowd = max((j - i + 1) - 2 - 20 * (times[j] - times[i]) for i in range(60) for j in range(i, 60))
    assert crowd <= 4
    assert 58 / 20 - 0.2 <= times[-1] - times[0] <= 2 * 58 / 20


# -- suspects --------------------------------------------------------------------------------------------------------


def test_a_suspect_is_reached_and_runs_alone_however_long_the_backlog_is(start: Start, journal: Journal) -> None:
    start("threads", "-t", "4", processes=1)
    backlog = wait.delay_many([(0.01,)] * 6000)
    eventually(lambda: len(journal.starts()) > 50, "it works")
    poison = threads.deadly.options(priority="high").delay(2)
    assert poison.get(timeout=30) == 3
    assert backlog[-1].status() == "queued", "the backlog was there all the time"
    deadly = journal.starts(id=poison.id)
    assert [(line.attempt, line.delivery) for line in deadly] == [(1, 1), (1, 1), (1, 2), (1, 3)]
    deaths = {line.pid: journal.ends(id=poison.id)[0].at for line in deadly[:3]}
    found = runs_in(journal, deaths)
    first, *again = (run for run in found if run.line.id == poison.id)
    neighbours = beside(found, first)
    assert len(neighbours) > 0
    assert [beside(found, run) for run in again] == [[]] * 3
    for neighbour in neighbours:
        app.result(neighbour.line.id).get(timeout=30)
        assert {line.delivery for line in journal.starts(id=neighbour.line.id)} == {1}, "they pay nothing"


def test_suspects_that_take_long_close_their_process_for_nobody(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    host = start("threads", "-t", "4", processes=1)
    gates = [gate.with_name(f"gate-{n}") for n in range(4)]
    slow = [work.delay(str(gate), "slow") for gate in gates]
    await_starts(journal, slow)
    killed = kill(host.children[0])
    eventually(lambda: len(journal.starts(label="slow")) == 7, "three of them run again, each on a seat of its own")
    all_ended(work.delay_many([("", "quick")] * 50))
    assert len(host.children) == 4
    (pool,) = {line.pid for line in journal.starts(label="quick")}
    killed |= kill(pool)  # its successor owes three seats as well
    all_ended(wait.delay_many([(0.003,)] * 50))
    (waits,) = (handle for handle in slow if len(journal.starts(id=handle.id)) == 1)
    assert (waits.status(), room.head(waits.id).deliveries) == ("queued", 0)
    for place in gates:
        place.touch()
    all_ended(slow)
    eventually(lambda: len(host.children) == 1, "what is not needed any more has ended")
    found = runs_in(journal, killed)
    assert most_at_once(found) == 4
    assert [beside(found, run) for run in found if run.line.label == "slow" and run.line.pid not in killed] == [[]] * 4
    assert runs(journal, slow) == [2] * 4
    all_ended(wait.delay_many([(0.02, "again")] * 40))
    assert most_at_once([run for run in runs_in(journal) if run.line.label == "again"]) == 4, "all seats were returned"


def test_a_suspect_does_not_start_before_what_has_a_higher_priority(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "2", processes=1)
    low = work.options(priority="low").delay_many([(str(gate), "low")] * 2)
    await_starts(journal, low)
    wait.delay_many([(0.01, "more")] * 300)
    kill(host.children[0])
    gate.touch()
    all_ended(low)
    again = [line.at for handle in low for line in journal.starts(id=handle.id)[1:]]
    behind = [line for line in journal.starts(label="more") if line.at > min(again)]
    assert len(behind) <= 4, "but for those that were fetched already"


def test_suspects_of_several_queues_are_found(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "3", processes=1)
    handles = [work.delay(str(gate)), threads.work_other.delay(str(gate)), threads.work_third.delay(str(gate))]
    await_starts(journal, handles)
    killed = kill(host.children[0])
    gate.touch()
    all_ended(handles)
    assert runs(journal, handles) == [2] * 3
    assert {line.delivery for line in journal.starts()} == {1}, "they ran beside each other, if in other queues"
    found = runs_in(journal, killed)
    assert [beside(found, run) for run in found if run.line.pid not in killed] == [[]] * 3
    eventually(lambda: len(host.children) == 1, "what is not needed any more has ended")


def test_a_full_host_leaves_suspects_to_others_and_nobody_asks_again_and_again(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    full = start("threads", "-t", "2", "-Q", "default", processes=1)
    long = work.delay_many([(f"{gate}-long", "long")] * 2)
    await_starts(journal, long)
    host = start("threads", "-t", "2", "-Q", "default", processes=1)
    handles = work.delay_many([(str(gate), "killed")] * 2)
    await_starts(journal, handles)
    kill(host.children[0])
    eventually(lambda: len(journal.starts(label="killed")) == 3, "one of them runs again on its host")
    commands = Monitor(room.url).commands(3)
    assert len(commands) < 40, "\n".join(line[:120] for line in commands)
    third = start("threads", "-t", "2", "-Q", "default", processes=1)
    eventually(lambda: len(journal.starts(label="killed")) == 4, "the other one runs on a third host")
    assert journal.starts(label="killed")[-1].pid in third.children
    gate.touch()
    all_ended(handles)
    Path(f"{gate}-long").touch()
    all_ended(long)
    eventually(lambda: len(full.children) == len(third.children) == 1, "what is not needed has ended")
    assert runs(journal, [*long, *handles]) == [1, 1, 2, 2]


def test_a_host_that_ends_lets_its_suspects_finish_or_gives_them_back(
    start: Start, journal: Journal, gate: Path
) -> None:
    host = start("threads", "-t", "3", processes=1)
    handles = work.delay_many([(str(gate),)] * 3)
    await_starts(journal, handles)
    kill(host.children[0])
    eventually(lambda: len(journal.starts()) == 5, "two of them run again")
    host.send(signal.SIGTERM)
    host.await_log("finishing what runs")
    other = start("threads", "-t", "3", processes=1)
    eventually(lambda: len(journal.starts()) == 6, "the third runs elsewhere")
    gate.touch()
    assert host.wait() == 0
    all_ended(handles)
    assert runs(journal, handles) == [2] * 3
    assert {line.delivery for line in journal.starts()} == {1}
    assert other.terminate() == 0


def test_hosts_with_one_thread_and_with_several_share_suspects(start: Start, journal: Journal, gate: Path) -> None:
    host = start("threads", "-t", "8", processes=1)
    handles = work.delay_many([(str(gate),)] * 8)
    await_starts(journal, handles)
    killed = kill(host.children[0])
    single = start("threads", "-t", "1", processes=2)
    gate.touch()
    all_ended(handles)
    assert runs(journal, handles) == [2] * 8
    found = runs_in(journal, killed)
    assert [beside(found, run) for run in found if run.line.pid not in killed] == [[]] * 8
    for _ in range(3):
        victim = single.children[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda victim=victim: victim not in single.children, "it is dead")  # type: ignore[misc]
        all_ended(work.delay_many([()] * 50))


def test_a_process_whose_threads_are_all_at_long_tasks_leaves_the_rest_alone(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("threads", "-t", "2", "-Q", "default", processes=1)
    train()
    held = work.delay_many([(str(gate), "held")] * 2)
    await_starts(journal, held)
    waiting = work.delay()
    commands = Monitor(room.url).commands(3)
    assert len(commands) < 15, "\n".join(line[:120] for line in commands)
    assert waiting.status() == "queued"
    gate.touch()
    all_ended([*held, waiting])


# -- what starts next, and silence -----------------------------------------------------------------------------------


def test_a_high_task_starts_before_almost_all_low_ones_that_wait(start: Start, journal: Journal) -> None:
    """A thread that has begun a task of 10 ms ends it, and its process may have fetched one more for it."""
    seats = 4
    wait.options(priority="low").delay_many([(0.01, "low")] * 3000)
    start("threads", "-t", "2", processes=2)
    for turn in range(1, 9):
        eventually(lambda turn=turn: len(journal.starts(label="low")) > turn * 80, "some low ones run")  # type: ignore[misc]
        high = wait.options(priority="high").delay(0.0, f"high-{turn}")
        enqueued = time.monotonic()
        high.get(timeout=30)
        (started,) = journal.starts(id=high.id)
        before = [line for line in journal.starts(label="low") if enqueued < line.at < started.at]
        assert len(before) <= 3 * seats, f"{len(before)} low tasks started before a high one"
    assert len(journal.starts(label="low")) < 2800, "low ones were waiting all the time"
    inspect.purge(app.broker, "default", "low")


def test_an_idle_host_with_threads_sends_at_most_one_command_a_second(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    """Idle, but not empty: something runs for long, something is scheduled, limited, and was in a process that died."""
    host = start("threads", "-t", "4", "-Q", "default", processes=2)
    held = work.delay_many([(str(gate), "held")] * 8)
    await_starts(journal, held)
    kill(host.children[0])
    eventually(lambda: len(journal.starts(label="held")) == 12, "what ran there runs again")
    work.options(delay="1h").delay()
    commands = Monitor(room.url).commands(7)
    assert 1 <= len(commands) <= 7, "\n".join(line[:120] for line in commands)
    gate.touch()
    all_ended(held)
    eventually(lambda: len(host.children) == 2, "what is not needed any more has ended")
    commands = Monitor(room.url).commands(7)
    assert 1 <= len(commands) <= 7, "\n".join(line[:120] for line in commands)


@pytest.mark.parametrize("number", ["1", "4"])
def test_what_a_busy_worker_is_said_to_hold_goes_back(
    start: Start, room: Room, journal: Journal, gate: Path, number: str
) -> None:
    """A reservation that was stranded by whatever cause, in a process that is never empty."""
    host = start("threads", "-t", number, "-Q", "default", "--lease", "1s", processes=2)
    held = work.delay(str(gate))
    await_starts(journal, [held])
    worker = room.look(held.id).worker
    id = message.new_id("default")
    raw = message.head("work", 1, 600) + app.codec.pack_call((), {})
    with room.redis.pipeline() as together:
        together.hset(room.key("TASKS"), id, b"\0" * 16 + raw)
        together.rpush(room.key("PROCESSING", worker), id)
        together.hincrby(room.key("LEDGER"), "enqueued work")
        together.execute()
    app.result(id).get(timeout=30)
    assert "giving that back" in host.log()
    assert held.status() == "running"
    gate.touch()
    held.get(timeout=10)
    assert runs(journal, [held]) == [1]


def test_a_process_whose_lease_nobody_renews_starts_nothing_more_until_somebody_does(
    start: Start, journal: Journal
) -> None:
    host = start("threads", "-t", "4", "--lease", "1s", processes=1)
    handles = wait.delay_many([(0.01,)] * 1500)
    eventually(lambda: len(journal.starts()) > 50, "it works")
    host.send(signal.SIGSTOP)
    eventually(lambda: len(journal.starts()) == len(journal.ends()) and stands_still(journal), "it starts nothing more")
    assert len(journal.starts()) < 1500
    host.send(signal.SIGCONT)
    all_ended(handles)
    assert set(runs(journal, handles)) == {1}
    assert len(host.children) == 1


def stands_still(journal: Journal) -> bool:
    """Whether nothing starts for a while: much longer than a step takes."""
    before = len(journal.starts())
    time.sleep(0.3)
    return len(journal.starts()) == before
