"""Which task starts next, where, and when: priorities, neighbours, rates, delays, and the silence of an idle host."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from distq.broker import inspect, verbs
from distq.result import Handle
from tests.support.apps import fetch
from tests.support.apps.fetch import app
from tests.support.eventually import eventually
from tests.support.journal import Journal, Line
from tests.support.monitor import Monitor
from tests.support.regex import stuck_for
from tests.support.room import Room
from tests.system.conftest import Start

CLOCK_S = 0.001
"""The broker keeps times in whole milliseconds."""


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def all_ended(handles: list[Handle[Any]], within: float = 30) -> None:
    for handle in handles:
        handle.get(timeout=within)


# -- priorities ------------------------------------------------------------------------------------------------------


def test_what_waits_starts_strictly_by_priority(start: Start, journal: Journal) -> None:
    handles: list[Handle[Any]] = []
    for priority in ("low", "default", "high", "low", "high", "default"):
        handles += fetch.work.options(priority=priority).delay_many([{"label": priority}] * 20)
    start("fetch", processes=1)
    all_ended(handles)
    assert [line.label for line in journal.starts()] == ["high"] * 40 + ["default"] * 40 + ["low"] * 40


def test_a_high_task_starts_before_almost_all_low_ones_that_wait(start: Start, journal: Journal) -> None:
    """A process that has begun a task of 10 ms ends it, and may have fetched one more."""
    processes = 2
    fetch.wait.options(priority="low").delay_many([(0.01, "low")] * 1000)
    start("fetch", processes=processes)
    for turn in range(1, 9):
        eventually(lambda turn=turn: len(journal.starts(label="low")) > turn * 40, "some low ones run")  # type: ignore[misc]
        high = fetch.wait.options(priority="high").delay(0.0, f"high-{turn}")
        enqueued = time.monotonic()
        high.get(timeout=30)
        (started,) = journal.starts(id=high.id)
        before = [line for line in journal.starts(label="low") if enqueued < line.at < started.at]
        assert len(before) <= 2 * processes, f"{len(before)} low tasks started before a high one"
    assert len(journal.starts(label="low")) < 900, "low ones were waiting all the time"
    inspect.purge(app.broker, "default", "low")


# -- neighbours of slow tasks ----------------------------------------------------------------------------------------


def fetched_with(room: Room, id: str) -> int:
    """How many tasks the worker that runs this one fetched with its last step."""
    return int(room.redis.hget(room.key("WORKER", room.look(id).worker), "reserved"))


def in_one_fetch(
    room: Room,
    journal: Journal,
    quick: Callable[[int], list[Handle[Any]]],
    send: Callable[[], list[Handle[Any]]],
    gate: Path | None = None,
) -> list[Handle[Any]]:
    """Sends tasks of which one is slow, when the workers know this type as quick, until several came in one fetch.

    The slow one has the label "slow"; if it waits for a gate, it is named. Quick ones teach the workers to fetch many;
    what the last of them left is chance.
    """
    for turn in range(1, 20):
        all_ended(quick(800))
        handles = send()
        eventually(lambda turn=turn: len(journal.starts(label="slow")) == turn, "the slow one runs")  # type: ignore[misc]
        slow = journal.starts(label="slow")[-1]
        if fetched_with(room, slow.id) >= 10:
            return handles
        if gate:
            gate.touch()
        all_ended(handles)
        if gate:
            gate.unlink()
    raise AssertionError("the workers never fetched more than a few")


def test_a_slow_task_keeps_neither_the_results_nor_the_places_of_its_neighbours(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("fetch", processes=1)
    batch = [("", "before")] * 7 + [(str(gate), "slow")] + [("", "behind")] * 7
    handles = in_one_fetch(
        room, journal, lambda n: fetch.work.delay_many([()] * n), lambda: fetch.work.delay_many(batch), gate
    )
    before, slow, behind = handles[:7], handles[7], handles[8:]
    all_ended(before)
    eventually(lambda: {handle.status() for handle in behind} == {"queued"}, "what has not started goes back")
    assert slow.status() == "running"
    urgent = fetch.work.options(priority="high").delay("", "urgent")
    gate.touch()
    all_ended([*handles, urgent])
    ids = {handle.id for handle in (*handles, urgent)}
    ran = [line for line in journal.starts() if line.id in ids]
    assert [line.label for line in ran] == ["before"] * 7 + ["slow", "urgent"] + ["behind"] * 7
    assert [line.id for line in ran if line.label == "behind"] == [handle.id for handle in behind], "in their order"


def test_what_was_fetched_behind_a_slow_task_is_run_by_another_process(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    start("fetch", processes=2)
    batch = [(str(gate), "slow")] + [("", "behind")] * 20
    handles = in_one_fetch(
        room, journal, lambda n: fetch.work.delay_many([()] * n), lambda: fetch.work.delay_many(batch), gate
    )
    all_ended(handles[1:])
    assert handles[0].status() == "running"
    gate.touch()
    all_ended(handles)
    slow = journal.starts(id=handles[0].id)[0]
    assert {line.pid for line in journal.starts(label="behind") if line.at > slow.at}.isdisjoint({slow.pid})
    assert all(len(journal.starts(id=handle.id)) == 1 for handle in handles), "each has run once"


def test_what_was_asked_for_ahead_goes_back_too_wherever_in_its_batch_a_task_turns_out_slow(
    start: Start, room: Room, journal: Journal, gate: Path
) -> None:
    """In the middle of a batch the worker asks for the next one. It does not read the answer while a task runs."""
    start("fetch", processes=1)
    for turn in range(8):
        handles = fetch.work.delay_many([()] * (400 + 19 * turn) + [(str(gate), "slow")] + [()] * 400)
        eventually(lambda turn=turn: len(journal.starts(label="slow")) == turn + 1, "the slow one runs")  # type: ignore[misc]
        eventually(lambda: room.run(verbs.depths(room.prefix)).running == 1, "all but the slow one goes back")
        gate.touch()
        all_ended(handles)
        gate.unlink()
        ran = Counter(line.id for line in journal.starts())
        assert [ran[handle.id] for handle in handles] == [1] * len(handles), "each has run once"


def test_the_same_holds_when_the_slow_task_keeps_the_interpreter_lock_in_c_code(
    start: Start, room: Room, journal: Journal
) -> None:
    start("fetch", processes=2)
    size = stuck_for(2.0)
    batch = [(0, "before")] * 8 + [(size, "slow")] + [(0, "behind")] * 20
    handles = in_one_fetch(
        room, journal, lambda n: fetch.work_in_c.delay_many([()] * n), lambda: fetch.work_in_c.delay_many(batch)
    )
    neighbours, slow = handles[:8] + handles[9:], handles[8]
    all_ended(neighbours)
    all_known = time.monotonic()
    slow.get(timeout=60)
    (began,), (ended,) = journal.starts(id=slow.id), journal.ends(id=slow.id)
    length = ended.at - began.at
    assert all_known - began.at < length / 2, f"neighbours took {all_known - began.at:.3f} of {length:.3f} s"
    assert all(len(journal.starts(id=handle.id)) == 1 for handle in handles), "each has run once"


# -- rates -----------------------------------------------------------------------------------------------------------


def most_above(starts: list[Line], per_second: float, burst: int) -> float:
    """By how many the most crowded window of time is above `burst + rate · t`."""
    times = sorted(line.at for line in starts)
    return max(
        (last - first + 1) - burst - per_second * (times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


def test_a_rate_holds_over_all_hosts_together(start: Start, journal: Journal) -> None:
    start("fetch")
    start("fetch")
    handles = fetch.limited.delay_many([()] * 60)
    all_ended(handles)
    starts = journal.starts()
    assert len(starts) == 60
    # One that was let through and started 0.2 s late, while the next came in time, looks like 4 too many.
    assert most_above(starts, 20, 2) <= 4
    took = starts[-1].at - starts[0].at
    assert took >= (60 - 2) / 20 - 0.2
    assert took <= 2 * (60 - 2) / 20, "and the rate is used"


def test_tasks_behind_limited_ones_are_not_held_up(start: Start, journal: Journal) -> None:
    fetch.rare.delay_many([("rare",)] * 2000)
    free = fetch.work.delay_many([("", "free")] * 200)
    start("fetch")
    all_ended(free)
    assert len(journal.starts(label="rare")) <= 1
    late = fetch.work.delay()
    late.get(timeout=10)
    assert inspect.purge(app.broker, "default", "default") >= 1999


# -- delays ----------------------------------------------------------------------------------------------------------


def test_delayed_tasks_never_start_early_and_hardly_late(start: Start, journal: Journal) -> None:
    start("fetch")
    due: dict[str, tuple[float, float]] = {}
    for n in range(300):
        delay = 0.5 + (n * 37 % 300) / 100
        before = time.monotonic()
        handle = fetch.work.options(delay=delay).delay()
        due[handle.id] = (before + delay, time.monotonic() + delay)
    eventually(lambda: len(journal.ends()) == 300, "all have run", within=30)
    starts = {line.id: line.at for line in journal.starts()}
    early = [earliest - starts[id] for id, (earliest, _) in due.items()]
    late = sorted(starts[id] - latest for id, (_, latest) in due.items())
    assert max(early) <= CLOCK_S, f"one started {max(early):.4f} s too early"
    assert statistics.median(late) < 0.02, f"late: p50 {late[150]:.4f}, p99 {late[297]:.4f}, most {late[-1]:.4f}"


def test_a_moment_is_kept_like_a_delay(start: Start, journal: Journal) -> None:
    start("fetch")
    at = datetime.now(UTC) + timedelta(seconds=0.7)
    moment = time.monotonic() + (at - datetime.now(UTC)).total_seconds()
    handles = [fetch.work.options(eta=at + timedelta(milliseconds=10 * n)).delay() for n in range(20)]
    past = fetch.work.options(eta=at - timedelta(days=1)).delay()
    past.get(timeout=10)
    all_ended(handles)
    early = [moment + 0.01 * n - journal.starts(id=handle.id)[0].at for n, handle in enumerate(handles)]
    assert max(early) <= CLOCK_S + 0.001, "milliseconds are all that an eta keeps"


def test_a_time_that_comes_before_the_one_that_is_waited_for_is_kept_too(start: Start, journal: Journal) -> None:
    start("fetch")
    far = fetch.work.options(delay=3600).delay()
    soon = [fetch.work.options(delay=delay).delay() for delay in (0.9, 0.6, 0.3)]
    all_ended(soon)
    order = [line.id for line in journal.starts()]
    assert order == [handle.id for handle in reversed(soon)]
    assert far.cancel()


# -- silence ---------------------------------------------------------------------------------------------------------


def test_an_idle_host_with_four_processes_sends_at_most_one_command_a_second(start: Start, room: Room) -> None:
    """Idle, but not empty: something is scheduled, limited, and of a type that nobody knows."""
    start("fetch", processes=4)
    fetch.work.options(delay="1h").delay()
    all_ended(fetch.work.delay_many([()] * 200))
    rare = fetch.rare.delay_many([()] * 10)
    stranger = app.enqueue("nobody-knows-it")
    rare[0].get(timeout=10)
    eventually(lambda: stranger.status() == "queued" and room.redis.info("clients")["blocked_clients"] == 5, "idle")
    seconds = 9
    commands = Monitor(room.url).commands(seconds)
    assert 1 <= len(commands) <= seconds, "\n".join(line[:120] for line in commands)


# -- suspects --------------------------------------------------------------------------------------------------------


def test_a_suspect_is_reached_although_its_worker_always_asks_ahead(start: Start, room: Room) -> None:
    suspect = fetch.work.delay()
    lost = room.register(types=("work",))
    assert len(room.step(lost, 1).entries) == 1
    backlog = fetch.work.delay_many([()] * 1000)
    start("fetch", processes=1)
    eventually(lambda: backlog[0].status() == "completed", "it works")
    fetch.work.delay_many([()] * 30_000)
    room.recover(lost, "lost")
    suspect.get(timeout=30)
    assert room.redis.llen(room.key("QUEUE", "default")) > 0, "the backlog was there all the time"
    inspect.purge(app.broker, "default", "default")
