"""Time limits of running tasks: what does not end is ended, and costs nobody else anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distq import Handle, TaskFailed
from distq.broker import inspect
from tests.support.apps import limits
from tests.support.apps.limits import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start

WAYS = {"process": (), "threads": ("-t", "2"), "loop": ("--coroutines", "4")}


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def attempts(id: str) -> list[dict[str, Any]]:
    return inspect.attempts(app.broker, "default", id)


def ending(handle: Handle[int]) -> int | str:
    """What it has returned, or the type of its error."""
    try:
        return handle.get(timeout=30)
    except TaskFailed as error:
        return error.type


@pytest.mark.parametrize("way", WAYS)
def test_a_stubborn_handler_is_ended_and_its_place_taken(start: Start, journal: Journal, way: str) -> None:
    """Each runs in a process of its own, since that of the one before is gone."""
    host = start("limits", *WAYS[way], processes=1)
    for task in limits.STUBBORN:
        handle = task.delay()
        with pytest.raises(TaskFailed, match=r"^TimeLimit: time limit of 400 ms$"):
            handle.get(timeout=30)
        (record,) = attempts(handle.id)
        assert (record["outcome"], record["type"], record["attempt"]) == ("time limit", "TimeLimit", 1)
        assert record["seconds"] >= 0.4
        assert limits.quick.delay(7).get(timeout=30) == 7
    assert len({line.pid for line in journal.starts()}) == len(limits.STUBBORN)
    assert not journal.ends(), "none of them has come to an end of its own"
    assert host.log().count("its process is ended") == len(limits.STUBBORN)


@pytest.mark.parametrize("way", ["process", "threads"])
def test_the_record_says_where_the_limit_has_hit(start: Start, way: str) -> None:
    start("limits", *WAYS[way], processes=1)
    for task in (limits.spins_in_c, limits.swallows):
        handle = task.delay()
        with pytest.raises(TaskFailed) as caught:
            handle.get(timeout=30)
        (record,) = attempts(handle.id)
        first, *frames = record["traceback"].splitlines()
        assert first == "Where it was (most recent call first):"
        assert any(frame.endswith(f"in {task.type}") for frame in frames)
        assert not any("worker" in frame for frame in frames), "and not what is around it"
        assert caught.value.traceback == record["traceback"]


def test_a_neighbour_goes_back_uncharged_and_runs_beside_others(
    start: Start, journal: Journal, room: Room, tmp_path: Path
) -> None:
    start("limits", "-t", "2", processes=1)
    gate = tmp_path / "gate"
    neighbour = limits.waits_for.delay(str(gate))
    eventually(lambda: len(journal.starts(id=neighbour.id)) == 1, "it runs")
    culprit = limits.sleeps.delay()
    with pytest.raises(TaskFailed):
        culprit.get(timeout=30)
    eventually(lambda: len(journal.starts(id=neighbour.id)) == 2, "it runs again")
    head = room.head(neighbour.id)
    assert (head.attempt, head.deliveries, head.flags & 1) == (0, 0, 0), "it is no suspect"
    assert not attempts(neighbour.id)
    gate.touch()
    assert neighbour.get(timeout=30) == "done"


def test_a_time_limit_is_an_attempt_and_goes_by_the_retry_rules(start: Start, journal: Journal, tmp_path: Path) -> None:
    start("limits", processes=1)
    handle = limits.hangs_once.delay(str(tmp_path / "gate"))
    assert handle.get(timeout=30) == "done"
    assert [line.attempt for line in journal.starts()] == [1, 2]
    assert [line.delivery for line in journal.starts()] == [1, 1]
    (record,) = attempts(handle.id)
    assert (record["outcome"], record["message"], record["retry_in_ms"]) == ("time limit", "time limit of 300 ms", 50)


def test_a_call_may_have_a_limit_of_its_own(start: Start, tmp_path: Path) -> None:
    start("limits", processes=1)
    handle = limits.waits_for.options(time_limit="200ms", retries=0).delay(str(tmp_path / "never"))
    with pytest.raises(TaskFailed, match="time limit of 200 ms"):
        handle.get(timeout=30)


@pytest.mark.parametrize("way", WAYS)
def test_a_handler_is_told_that_its_time_is_over(start: Start, journal: Journal, way: str) -> None:
    host = start("limits", *WAYS[way], processes=1)
    before = host.children
    assert limits.is_told.delay().get(timeout=30) == "told"
    for task in (limits.is_told_and_raises, limits.awaits_for_long):
        with pytest.raises(TaskFailed, match="SoftTimeLimit: its soft time limit is over"):
            task.delay().get(timeout=30)
    assert host.children == before, "nobody is ended for it"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_who_ends_just_then_has_ended_and_the_next_one_is_not_meant(start: Start, threads: str) -> None:
    host = start("limits", "-t", threads, processes=1)
    before = host.children
    handles = limits.races.delay_many((number,) for number in range(400))
    others = limits.quick.delay_many((number,) for number in range(400))
    ends = [ending(handle) for handle in handles]
    told = ends.count("SoftTimeLimit")
    assert sum(end == number for number, end in enumerate(ends)) == 400 - told
    assert [other.get(timeout=30) for other in others] == list(range(400))
    assert host.children == before
    assert 0 < told < 400


def test_a_process_that_does_not_hear_its_signal_any_more_is_replaced(start: Start, gate: Path) -> None:
    host = start("limits", processes=1)
    handle = limits.is_deaf.delay(str(gate))
    host.await_log("is replaced: it does not hear SIGURG any more")
    gate.touch()
    assert handle.get(timeout=30) == "not told"
    assert limits.is_told.delay().get(timeout=30) == "told"


def test_what_has_begun_together_comes_to_its_limit_together(start: Start) -> None:
    """And is not begun again for each other."""
    host = start("limits", "--coroutines", "40", processes=1)
    for handle in limits.awaits.delay_many([()] * 40):
        with pytest.raises(TaskFailed, match=r"^TimeLimit"):
            handle.get(timeout=30)
    assert host.log().count("was killed by SIGKILL") < 10
