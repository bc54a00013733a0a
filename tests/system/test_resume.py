"""Resumable tasks in real processes that are killed, or told to end, in the middle of them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.apps import resumable
from tests.support.apps.resumable import app
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start

KILLS, TERMS, STEPS = 45, 5, 300


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def test_a_task_that_is_ended_at_50_random_moments_has_each_effect_once(
    start: Start, journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(17)
    folder = tmp_path / "effects"
    folder.mkdir()
    host = start("resumable", "--max-deliveries", "255", processes=1)
    handle = resumable.steps.delay(str(folder), STEPS, 0.004)
    ways = [signal.SIGKILL] * KILLS + [signal.SIGTERM] * TERMS
    chance.shuffle(ways)
    repeated_by_term = 0
    for number, way in enumerate(ways):
        await_run(journal, number + 1)
        time.sleep(chance.uniform(0, 0.02))  # the moment, not a wait
        host, again = end(host, way, start, journal)
        repeated_by_term += again
    assert handle.get(timeout=60) == [f"step-{n}" for n in range(STEPS)]
    assert len(journal.starts()) == len(ways) + 1, "each of them has ended a run"

    runs = Counter(line.label for line in journal.lines("STEP"))
    repeats = sum(runs.values()) - STEPS
    assert set(runs) == {f"step-{n}" for n in range(STEPS)}
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{handle.id} step-{n}" for n in range(STEPS))
    assert repeats <= KILLS, "a kill repeats one step at most"
    assert repeated_by_term == 0, "and a TERM none"
    with capsys.disabled():
        print(f"\n{KILLS} × KILL, {TERMS} × TERM: {STEPS} effects, {repeats} steps were begun a second time")


def await_run(journal: Journal, number: int) -> None:
    eventually(lambda: len(journal.starts()) >= number, f"run {number} begins")


def end(host: Host, way: signal.Signals, start: Start, journal: Journal) -> tuple[Host, int]:
    """Kills the process that runs it, or lets the host end; the host that goes on, and how many steps that repeats."""
    if way == signal.SIGKILL:
        (child,) = host.children
        os.kill(child, way)
        return host, 0
    assert host.terminate() == 0
    before, ended = len(journal.lines("STEP")), journal.starts()[-1].pid
    host = start("resumable", "--max-deliveries", "255", processes=1)
    eventually(lambda: len(journal.lines("STEP")) > before, "it goes on")
    last, first = journal.lines("STEP")[before - 1 : before + 1]
    return host, int(first.label == last.label and last.pid == ended)  # else a kill has repeated it, just before


@pytest.mark.parametrize("task", ["rows", "async_rows"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_deploy_does_not_wait_for_a_long_task(
    start: Start, journal: Journal, room: Room, task: str, threads: int
) -> None:
    """It would take an hour; each row is done once, and the task is charged with nothing."""
    first = start("resumable", "-t", str(threads), "--grace", "600", processes=1)
    handle = app.tasks[task].delay(100_000, 0.036)
    eventually(lambda: len(journal.lines("ROW")) > 3, "it runs")
    second = start("resumable", "-t", str(threads), processes=1)
    assert first.terminate() == 0
    before = len(journal.lines("ROW"))
    eventually(lambda: len(journal.lines("ROW")) > before + 3, "the other one goes on")
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    done = [line.label for line in journal.lines("ROW")]
    assert done == [str(number) for number in range(len(done))]
    assert handle.status() == "queued"
    head = room.head(handle.id)
    assert (head.attempt, head.deliveries) == (0, 0)
    assert "interrupted (its worker ends)" in first.log()
    assert handle.cancel()


def test_a_handler_that_swallows_its_interruption_is_named(start: Start, journal: Journal) -> None:
    host = start("resumable", processes=1)
    handle = resumable.deaf.delay(100_000, 0.02)
    eventually(journal.starts, "it runs")
    assert host.terminate() == 0
    assert handle.get(timeout=10) == 2
    assert host.log().count(f"deaf {handle.id} was interrupted, since its worker ends, and goes on") == 1
