"""Cancelling what runs: it is told, or its process ended, and it does not wait again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distq import Handle, TaskCancelled, TaskFailed
from tests.support.apps import limits
from tests.support.apps.limits import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start
from tests.system.test_limits import WAYS


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def runs(journal: Journal, handle: Handle[Any], times: int = 1) -> None:
    eventually(lambda: len(journal.starts(id=handle.id)) == times, "it runs")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", ["waits_for", "awaits_gate", "swallows_once"])
def test_a_running_task_is_told_and_ends(start: Start, journal: Journal, tmp_path: Path, way: str, task: str) -> None:
    host = start("limits", *WAYS[way], processes=1)
    before = host.children
    handle = app.tasks[task].delay(str(tmp_path / "never"))
    runs(journal, handle)
    assert not handle.cancel(), "it runs"
    assert handle.cancel(running=True, by="the operator")
    handle.cancel(running=True, by="the operator")
    with pytest.raises(TaskCancelled, match="was cancelled by the operator"):
        handle.get(timeout=30)
    assert not handle.cancel(running=True), "it has ended"
    assert limits.quick.delay(3).get(timeout=30) == 3
    assert host.children == before
    assert len(journal.starts(id=handle.id)) == 1


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_stubborn_one_is_ended_with_its_process(start: Start, journal: Journal, room: Room, threads: str) -> None:
    host = start("limits", "-t", threads, processes=1)
    before = host.children
    handle = limits.swallows.options(time_limit="10m").delay()
    runs(journal, handle)
    assert handle.cancel(kill=True)
    with pytest.raises(TaskCancelled):
        handle.get(timeout=30)
    assert limits.quick.delay(3).get(timeout=30) == 3
    assert host.children != before
    assert f"{handle.id}: cancelled, its process is ended" in host.log()
    assert not journal.ends()


def test_what_was_fetched_and_has_not_begun_is_cancelled_at_once(
    start: Start, journal: Journal, tmp_path: Path
) -> None:
    start("limits", processes=1)
    for handle in limits.quick.delay_many((n,) for n in range(200)):  # quick: then many are fetched together
        handle.get(timeout=30)
    gate = tmp_path / "gate"
    first, second, third = (limits.waits_for.delay(str(gate)) for _ in range(3))
    runs(journal, first)
    assert second.cancel(running=True)
    with pytest.raises(TaskCancelled):
        second.get(timeout=30)
    gate.touch()
    assert (first.get(timeout=30), third.get(timeout=30)) == ("done", "done")
    assert not journal.starts(id=second.id)


def test_a_new_life_of_an_id_is_never_meant(start: Start, journal: Journal, room: Room, tmp_path: Path) -> None:
    start("limits", processes=1)
    gate = tmp_path / "gate"
    task = limits.waits_for.options(id="order-17")
    first = task.delay(str(gate))
    runs(journal, first)
    first.cancel(running=True)
    with pytest.raises(TaskCancelled):
        first.get(timeout=30)
    again = task.delay(str(gate))
    runs(journal, again, 2)
    worker = again._look().worker
    control = room.key("CONTROL", worker.split(":")[0])
    room.redis.zadd(control, {f"cancel kill {worker} order-17": 0})
    eventually(lambda: not room.redis.exists(control), "the late order is read")
    gate.touch()
    assert again.get(timeout=30) == "done"
    assert len(journal.starts()) == 2


def test_a_handler_that_raises_cancelled_itself_is_dead(start: Start) -> None:
    start("limits", processes=1)
    with pytest.raises(TaskFailed, match="nobody has cancelled it"):
        limits.cancels_itself.delay().get(timeout=30)
