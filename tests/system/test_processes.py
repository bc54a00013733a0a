"""What becomes of the work when processes end, are killed or stopped, and when the broker goes away."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from distq import TaskFailed
from distq.broker import inspect
from distq.broker.inspect import DeadFilter
from distq.embedded import EmbeddedBroker
from distq.result import Handle
from tests.support.apps import processes
from tests.support.apps.processes import app, deadly, work
from tests.support.eventually import eventually
from tests.support.host import READY, children_of, is_alive, state_of
from tests.support.journal import Journal, Line
from tests.support.room import Room
from tests.support.rules import check_rules
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def attempts(handle: Handle[Any]) -> list[dict[str, Any]]:
    return inspect.attempts(app.broker, "default", handle.id)


def all_ended(handles: list[Handle[Any]]) -> None:
    for handle in handles:
        handle.get(timeout=30)


def await_starts(journal: Journal, handle: Handle[Any], number: int = 1) -> list[Line]:
    eventually(lambda: len(journal.starts(id=handle.id)) >= number, f"{handle.id} has started {number} times")
    return journal.starts(id=handle.id)


def runs(journal: Journal, handles: list[Handle[Any]]) -> list[int]:
    """How often each was started."""
    starts = [line.id for line in journal.starts()]
    return [starts.count(handle.id) for handle in handles]


# -- ending ----------------------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_lets_what_runs_finish_and_leaves_the_rest_to_others(
    start: Start, journal: Journal, gate: Path, number: signal.Signals
) -> None:
    host = start("processes")
    running = work.delay_many([(str(gate),)] * 2)
    for handle in running:
        await_starts(journal, handle)
    waiting = work.delay_many([()] * 50)
    host.send_all(number)  # as Ctrl-C does: every process gets it
    host.await_log(f"{number.name}: finishing what runs")
    assert [handle.status() for handle in running] == ["running", "running"]
    gate.touch()
    assert host.wait() == 0
    assert [handle.status() for handle in running] == ["completed", "completed"]
    assert {handle.status() for handle in waiting} == {"queued"}
    start("processes")
    all_ended(waiting)
    assert runs(journal, running + waiting) == [1] * 52


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_gives_everything_back_at_once(
    start: Start, journal: Journal, gate: Path, number: signal.Signals
) -> None:
    host = start("processes")
    running, waiting = work.delay_many([(str(gate),)] * 2), work.delay_many([()] * 10)
    for handle in running:
        await_starts(journal, handle)
    host.send(number)
    host.await_log("finishing what runs")
    host.send(number)
    assert host.wait() == 128 + number
    assert {handle.status() for handle in running + waiting} == {"queued"}
    gate.touch()
    start("processes")
    all_ended(running + waiting)
    assert runs(journal, running) == [2, 2]
    assert runs(journal, waiting) == [1] * 10
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "nobody is charged"


def test_after_the_grace_period_what_still_runs_is_given_back(start: Start, journal: Journal, gate: Path) -> None:
    host = start("processes", "--grace", "0.4s")
    handle = work.delay(str(gate))
    await_starts(journal, handle)
    began = time.monotonic()
    assert host.terminate() == 0
    assert time.monotonic() - began >= 0.4
    assert handle.status() == "queued"
    gate.touch()
    start("processes")
    handle.get(timeout=30)
    assert [(line.attempt, line.delivery) for line in journal.starts(id=handle.id)] == [(1, 1), (1, 1)]


def test_an_idle_host_ends_at_once_and_leaves_nothing_behind(start: Start, room: Room) -> None:
    host = start("processes", processes=3)
    family = host.tree
    assert host.terminate() == 0
    assert not any(is_alive(pid) for pid in family)
    left = {key.removeprefix(room.prefix).split(":")[0] for key in room.all_keys()}
    assert left <= {"types", "groups", "meta"}, left


def test_under_load_a_drain_loses_nothing_and_runs_nothing_twice(start: Start, journal: Journal) -> None:
    handles = processes.wait.delay_many([(0.003,)] * 600)
    for _ in range(3):
        host = start("processes")
        seen = len(journal.ends())
        eventually(lambda seen=seen: len(journal.ends()) >= seen + 40, "it works")  # type: ignore[misc]
        assert host.terminate() == 0
        assert len(journal.starts()) == len(journal.ends()), "what was begun was finished"
        assert len(journal.ends()) < 600
    start("processes")
    all_ended(handles)
    assert runs(journal, handles) == [1] * 600


# -- dying children --------------------------------------------------------------------------------------------------


def test_a_killed_child_is_replaced_and_its_task_runs_again(start: Start, journal: Journal, gate: Path) -> None:
    host = start("processes", processes=1)
    (before,) = host.children
    handle = work.delay(str(gate))
    await_starts(journal, handle)
    others = work.delay_many([()] * 10)
    os.kill(before, signal.SIGKILL)
    first, second = await_starts(journal, handle, 2)
    assert (first.pid, first.attempt, first.delivery) == (before, 1, 1)
    assert (second.attempt, second.delivery) == (1, 2), "it is charged a delivery, not an attempt"
    assert host.children == [second.pid] != [before]
    gate.touch()
    assert handle.get(timeout=30) == second.pid
    all_ended(others)
    assert {(line.attempt, line.delivery) for h in others for line in journal.starts(id=h.id)} == {(1, 1)}
    (record,) = attempts(handle)
    assert (record["outcome"], record["type"]) == ("killed", "WorkerDied")
    assert "SIGKILL" in record["message"]
    assert f"was killed by SIGKILL while it ran {handle.id}" in host.log()


def test_a_task_that_kills_its_process_is_dead_after_three_and_its_neighbours_pay_nothing(
    start: Start, journal: Journal
) -> None:
    host = start("processes")
    all_ended(deadly.delay_many([()] * 500))  # quick, so that the next ones are fetched together
    handles = deadly.delay_many([(0,)] * 30 + [(99,)] + [(0,)] * 30 + [(1,)] + [(0,)] * 30)
    poison, once = handles.pop(30), handles.pop(60)
    with pytest.raises(TaskFailed) as caught:
        poison.get(timeout=30)
    assert re.fullmatch(r"killed its worker 3 times \(SIGKILL, peak \d+ MiB\)", caught.value.message)
    assert [(line.attempt, line.delivery) for line in journal.starts(id=poison.id)] == [(1, 1), (1, 2), (1, 3)]
    assert [record["outcome"] for record in attempts(poison)] == ["killed", "killed", "killed", "lost"]
    assert once.get(timeout=30) == 2, "it completes at its second delivery"
    all_ended(handles)
    assert runs(journal, handles) == [1] * 90, "what was finished beside it counts, what was not started goes back"
    assert {line.delivery for h in handles for line in journal.starts(id=h.id)} == {1}
    assert f"task {poison.id} is dead: it has killed its worker too often" in host.log()
    eventually(lambda: len(host.children) == 2, "both places are filled again")


def test_max_deliveries_of_one_makes_a_task_dead_at_the_first_death(start: Start, journal: Journal) -> None:
    start("processes", "--max-deliveries", "1")
    poison = deadly.delay(1)
    with pytest.raises(TaskFailed, match=r"killed its worker 1 time \(SIGKILL"):
        poison.get(timeout=30)
    assert runs(journal, [poison]) == [1]


def test_children_that_die_at_once_are_replaced_after_growing_pauses(start: Start, journal: Journal) -> None:
    host = start("stillborn", processes=1, ready=False)
    eventually(lambda: journal.place.exists() and len(journal.place.read_text().splitlines()) >= 5, "five were born")
    births = [float(line) for line in journal.place.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in pairwise(births)]
    for gap, pause in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=False):
        assert gap >= 0.95 * pause, f"gaps between births: {gaps}"
    assert host.process.poll() is None
    assert READY not in host.log()
    assert "exited with code 7" in host.log(), "and it says why it does not start"
    assert host.terminate() == 0


# -- dying hosts -----------------------------------------------------------------------------------------------------


def test_a_killed_supervisor_takes_its_processes_along_and_a_new_one_takes_over_at_once(
    start: Start, journal: Journal, gate: Path
) -> None:
    host = start("processes", "--lease", "1h")
    running, waiting = work.delay_many([(str(gate),)] * 2), work.delay_many([()] * 10)
    for handle in running:
        await_starts(journal, handle)
    host.kill()
    assert [handle.status() for handle in running] == ["running", "running"], "as far as the broker knows"
    gate.touch()
    start("processes", "--lease", "1h")
    all_ended(running + waiting)
    assert runs(journal, running) == [2, 2]
    assert runs(journal, waiting) == [1] * 10
    assert {(line.attempt, line.delivery) for line in journal.starts()} == {(1, 1)}, "the first time is not charged"


def test_a_task_that_loses_its_host_again_while_it_runs_alone_is_charged(
    start: Start, journal: Journal, gate: Path
) -> None:
    handle = work.delay(str(gate))
    """The second time it may have been something in another process; the third time there is none."""
    for number in (1, 2, 3):
        host = start("processes", "--lease", "1h")
        await_starts(journal, handle, number)
        host.kill()
    gate.touch()
    start("processes", "--lease", "1h")
    handle.get(timeout=30)
    assert [(line.attempt, line.delivery) for line in journal.starts(id=handle.id)] == [(1, 1)] * 3 + [(1, 2)]


def test_a_killed_template_is_replaced_and_the_host_goes_on(start: Start, journal: Journal, gate: Path) -> None:
    host = start("processes")
    template, children = host.template, host.children
    handle = work.delay(str(gate))
    await_starts(journal, handle)
    os.kill(template, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, children)), "its children die with it")
    await_starts(journal, handle, 2)
    gate.touch()
    handle.get(timeout=30)
    all_ended(work.delay_many([()] * 20))
    assert host.template != template
    assert set(host.children).isdisjoint(children)
    assert "the template process was killed by SIGKILL" in host.log()
    assert host.terminate() == 0


def test_a_template_that_dies_with_an_order_unread_is_replaced_too(start: Start) -> None:
    host = start("processes", processes=1)
    template = host.template
    for times in (1, 2, 3, 4):  # children that die young come after growing pauses: 0.8 s after the fourth
        os.kill(eventually(lambda: host.children, "there is a child")[0], signal.SIGKILL)
        host.await_log("was killed by SIGKILL", times)
    os.kill(template, signal.SIGSTOP)
    time.sleep(1.5)  # nothing shows that the supervisor has ordered the next one, so: much longer than the pause
    os.kill(template, signal.SIGKILL)
    assert work.delay().get(timeout=20) == host.children[0]
    assert host.template != template
    assert host.terminate() == 0


def test_a_template_that_cannot_be_started_again_is_tried_again_after_growing_pauses(
    start: Start, journal: Journal
) -> None:
    host = start("fragile")
    broken = journal.place.with_suffix(".broken")
    broken.touch()
    os.kill(host.template, signal.SIGKILL)
    host.await_log("half a deployment")
    began = time.monotonic()
    host.await_log("half a deployment", times=4)
    assert time.monotonic() - began > 0.3
    broken.unlink()
    assert app.enqueue("work").get(timeout=30) in host.children
    assert host.terminate() == 0


# -- stopped hosts ---------------------------------------------------------------------------------------------------


def test_a_host_that_was_stopped_for_longer_than_its_lease_settles_and_starts_nothing_of_what_it_had(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    stopped = start("processes", "--lease", "1s", processes=1)
    (old,) = stopped.children
    for _ in range(20):
        all_ended(work.delay_many([()] * 300))  # quick, so that the next ones are fetched together
        stopped.send(signal.SIGSTOP)  # the supervisor first: it would take away what is not started
        handles = work.delay_many([(str(gate), "slow")] + [("", "fetched")] * 5)
        await_starts(journal, handles[0])
        worker = room.look(handles[0].id).worker
        if int(room.redis.hget(room.key("WORKER", worker), "reserved")) == 6:
            break
        gate.touch()
        stopped.send(signal.SIGCONT)
        all_ended(handles)
        gate.unlink()
    stopped.send_all(signal.SIGSTOP)
    assert len(room.lists()[room.key("PROCESSING", worker)]) == 6
    gate.touch()
    other = start("processes", "--lease", "1s")
    all_ended(handles)
    assert {handle.get() for handle in handles} <= set(other.children)
    slow = journal.starts(id=handles[0].id)
    assert [line.delivery for line in slow] == [1, 1]
    stopped.send_all(signal.SIGCONT)
    eventually(lambda: len(journal.ends(id=handles[0].id)) == 2, "it finishes what it ran")
    others = other.children
    assert other.terminate() == 0
    assert work.delay().get(timeout=30) == old, "it goes on working"
    assert handles[0].get() in others, "its verdict was refused"
    assert runs(journal, handles[1:]) == [1] * 5, "and it has not started what it had fetched"
    assert [(record["type"], record["charged"]) for record in attempts(handles[0])] == [("HostLost", False)]


def test_what_a_stopped_host_was_handed_meanwhile_is_not_started_when_it_goes_on(
    start: Start, room: Room, journal: Journal
) -> None:
    stopped = start("processes", "--lease", "1s", processes=1)
    (old,) = stopped.children
    all_ended(work.delay_many([()] * 300))
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 2, "its worker waits, its step is sent ahead")
    stopped.send_all(signal.SIGSTOP)
    handles = work.delay_many([()] * 10)
    (held,) = (held for name, held in room.lists().items() if name.startswith(room.key("PROCESSING")))
    assert held, "the broker has handed them to the stopped worker"
    other = start("processes", "--lease", "1s")
    all_ended(handles)
    stopped.send_all(signal.SIGCONT)
    assert other.terminate() == 0
    assert work.delay().get(timeout=30) == old
    assert runs(journal, handles) == [1] * 10
    assert {line.pid for h in handles for line in journal.starts(id=h.id)}.isdisjoint({old})


def test_a_stopped_child_keeps_its_task_and_what_it_had_fetched_goes_back(
    start: Start, journal: Journal, gate: Path
) -> None:
    host = start("processes", "--lease", "1s")
    handle = work.delay(str(gate))
    (line,) = await_starts(journal, handle)
    os.kill(line.pid, signal.SIGSTOP)
    began = time.monotonic()
    while time.monotonic() - began < 2.5:  # longer than the lease and the patience of those who look at it
        work.delay().get(timeout=10)
    assert handle.status() == "running"
    os.kill(line.pid, signal.SIGCONT)
    gate.touch()
    assert handle.get(timeout=30) == line.pid
    assert runs(journal, [handle]) == [1]
    assert len(host.children) == 2


# -- the broker goes away --------------------------------------------------------------------------------------------


def test_a_broker_that_restarts_with_its_data_loses_nothing_and_nothing_runs_twice(
    start_anywhere: Start, journal: Journal, tmp_path: Path, port: int, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"redis://127.0.0.1:{port}/0"
    monkeypatch.setattr(app, "timeout", 30.0)
    app.rebind(address)
    with EmbeddedBroker(tmp_path / "data", port=port):
        host = start_anywhere("processes", broker=address)
        slow = work.delay(str(gate))
        await_starts(journal, slow)
        handles = processes.wait.delay_many([(0.003,)] * 300)
        later = [work.options(delay=0.5 + n / 100).delay() for n in range(20)]
        eventually(lambda: len(journal.ends()) >= 30, "it works")
    gate.touch()
    meanwhile: list[Handle[int]] = []
    caller = threading.Thread(target=lambda: meanwhile.append(work.delay()))
    caller.start()
    eventually(lambda: journal.ends(id=slow.id), "a task ends while the broker is away")
    with EmbeddedBroker(tmp_path / "data", port=port):
        caller.join(30)
        everything: list[Handle[Any]] = [slow, *handles, *later, *meanwhile]
        all_ended(everything)
        assert runs(journal, everything) == [1] * 322
        assert host.terminate() == 0
        room = Room(address)
        check_rules(room)
        room.close()


def test_a_host_ends_although_the_broker_is_gone_and_its_tasks_come_back_with_it(
    start_anywhere: Start, journal: Journal, tmp_path: Path, port: int, gate: Path
) -> None:
    address = f"redis://127.0.0.1:{port}/0"
    app.rebind(address)
    with EmbeddedBroker(tmp_path / "data", port=port):
        host = start_anywhere("processes", "--grace", "0.3s", "--lease", "1h", broker=address)
        handle = work.delay(str(gate))
        await_starts(journal, handle)
    assert host.terminate() == 0
    assert "the broker did not answer" in host.log()
    gate.touch()
    with EmbeddedBroker(tmp_path / "data", port=port):
        after = start_anywhere("processes", broker=address)
        assert handle.get(timeout=30) > 0
        assert after.terminate() == 0


def test_a_drain_while_the_broker_is_away_waits_quietly(start_anywhere: Start, tmp_path: Path, port: int) -> None:
    address = f"redis://127.0.0.1:{port}/0"
    with EmbeddedBroker(tmp_path / "data", port=port):
        host = start_anywhere("processes", "--grace", "3s", broker=address)
    assert host.terminate() == 0
    assert len(host.log().splitlines()) < 30, host.log()


def test_a_host_ends_although_its_template_hangs(start: Start) -> None:
    host = start("processes", "--grace", "0.2s", processes=1)
    os.kill(host.template, signal.SIGSTOP)
    assert host.terminate() == 0


def test_tasks_that_kill_their_process_cost_the_others_no_pause(start: Start) -> None:
    """Each of four kills its process three times at once; a pause for each death would be a minute."""
    start("processes", processes=1)
    bad = [deadly.delay(99) for _ in range(4)]
    good = [deadly.delay() for _ in range(3)]
    began = time.monotonic()
    all_ended(good)
    for handle in bad:
        with pytest.raises(TaskFailed):
            handle.get(timeout=30)
    assert time.monotonic() - began < 25


def test_connections_that_break_and_scripts_that_vanish_lose_nothing_and_nothing_runs_twice(
    start: Start, room: Room, journal: Journal
) -> None:
    start("processes")
    handles: list[Handle[Any]] = []
    failures: list[Exception] = []
    is_over = threading.Event()

    def produce() -> None:
        try:
            while not is_over.is_set():
                handles.append(work.delay())
                handles[-1].get(timeout=30)
        except Exception as error:
            failures.append(error)

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for producer in producers:
        producer.start()
    with redis.Redis.from_url(room.url) as trouble:
        for turn in range(15):
            trouble.script_flush()
            if turn % 2:
                trouble.client_kill_filter(_type="normal", skipme=True)
            is_over.wait(0.2)
    is_over.set()
    for producer in producers:
        producer.join(30)
    assert failures == []
    assert len(handles) > 100
    all_ended(handles)
    assert runs(journal, handles) == [1] * len(handles)
    assert len(journal.starts()) == len(handles), "no call was doubled"


def test_a_waiting_get_bears_a_connection_that_breaks(start: Start, room: Room, gate: Path) -> None:
    start("processes")
    handle = work.delay(str(gate))
    results: list[object] = []

    def get() -> None:
        try:
            results.append(handle.get(timeout=30))
        except Exception as error:
            results.append(error)

    async def aget() -> None:
        try:
            results.append(await handle.aget(timeout=30))
        except Exception as error:
            results.append(error)

    waiters = [threading.Thread(target=get), threading.Thread(target=lambda: asyncio.run(aget()))]
    for waiter in waiters:
        waiter.start()
    with redis.Redis.from_url(room.url) as trouble:
        eventually(
            lambda: room.redis.info("clients")["blocked_clients"] >= 4, "both wait, and a worker and a supervisor"
        )
        trouble.client_kill_filter(_type="normal", skipme=True)
    gate.touch()
    for waiter in waiters:
        waiter.join(30)
    assert len(results) == 2
    assert all(isinstance(result, int) for result in results), results


def test_connections_that_broke_while_nobody_used_them_are_replaced_unseen(start: Start, room: Room) -> None:
    start("processes")
    handle = work.options(id="mine").delay()
    pid = handle.get(timeout=10)

    async def ask() -> object:
        return await app.result("mine").aget(timeout=10)

    with redis.Redis.from_url(room.url) as trouble:
        for question in (
            lambda: app.result("mine").status(),
            lambda: app.result("mine").get(timeout=10),
            handle.status,
            lambda: inspect.attempts(app.broker, "default", "mine"),
            lambda: list(inspect.dead_letters(app.broker, "default", DeadFilter())),
            lambda: asyncio.run(ask()),
        ):
            handle.status()
            trouble.client_kill_filter(_type="normal", skipme=True)
            assert question() in ("completed", pid, [])


# -- starting --------------------------------------------------------------------------------------------------------


@pytest.fixture
def importing(journal: Journal) -> Iterator[Path]:
    go = journal.place.with_suffix(".go")
    yield go
    go.touch()


def await_import(journal: Journal) -> None:
    eventually(journal.place.with_suffix(".importing").exists, "the application is being imported")


def test_a_signal_while_the_application_is_imported_ends_the_host(
    start: Start, journal: Journal, importing: Path
) -> None:
    host = start("slow_import", ready=False)
    await_import(journal)
    family = host.tree
    assert host.terminate() == 0
    eventually(lambda: not any(map(is_alive, family)), "all its processes are gone")
    assert READY not in host.log()


def test_a_signal_at_the_moment_when_the_application_is_imported_is_not_lost(
    start: Start, journal: Journal, importing: Path
) -> None:
    host = start("slow_import", ready=False)
    await_import(journal)
    host.send(signal.SIGSTOP)  # so that it finds both at once when it goes on
    (template,) = children_of(host.supervisor)
    importing.touch()
    eventually(journal.place.with_suffix(".imported").exists, "it is imported")
    eventually(lambda: rests(template), "the template has said so, and waits for orders")
    host.send(signal.SIGTERM)
    host.send(signal.SIGCONT)
    assert host.wait() == 0


def rests(pid: int) -> bool:
    """Whether it is found waiting in twenty looks in a row."""
    for _ in range(20):
        if state_of(pid) != "S":
            return False
        time.sleep(0.005)
    return True


def test_the_second_host_on_a_machine_takes_the_next_metrics_port_and_says_so(start: Start) -> None:
    ports = []
    for _ in range(2):
        host = start("processes", metrics=None)
        found = re.search(r"Metrics server listening on :(\d+)", host.log())
        assert found is not None
        ports.append(int(found[1]))
    assert ports[0] != ports[1]
    work.delay().get(timeout=10)
    for port in ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b"distributedq_queue_depth" in answer.read()


def test_a_given_metrics_port_that_is_taken_is_an_error_of_its_own(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        host = start("processes", metrics=port, ready=False)
        assert host.wait() == 4
    assert f"error: metrics port {port}: Address already in use" in host.log()
    assert READY not in host.log()


def test_a_host_without_a_broker_says_where_it_looked_and_what_to_do(start: Start, port: int) -> None:
    host = start("processes", broker=f"redis://127.0.0.1:{port}/0", ready=False)
    assert host.wait() == 3
    assert f"no broker at redis://127.0.0.1:{port}/0" in host.log()
    assert "distq dev" in host.log()
