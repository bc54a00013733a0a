"""What is known of a process that died: how, with how much memory, over which tasks, and what they had logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distq import Handle, TaskFailed
from distq.broker import inspect
from tests.support.apps.crashing import app, grows, logs_elsewhere, quiet, says, touches_address_0
from tests.support.eventually import eventually
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(room: Room) -> None:
    app.rebind(room.url)


def death(handle: Handle[Any]) -> dict[str, Any]:
    """Waits for its end; the record of the last death of its process."""
    with pytest.raises(TaskFailed):
        handle.get(timeout=30)
    return inspect.attempts(app.broker, "default", handle.id)[-2]


def test_a_killed_task_tells_how_it_ended_and_what_it_had_said(start: Start) -> None:
    start("crashing", "--max-deliveries", "1", processes=1)
    record = death(says.delay(50))
    assert (record["outcome"], record["type"], record["signal"]) == ("killed", "WorkerDied", "SIGKILL")
    assert (record["attempt"], record["delivery"], record["charged"], record["thread"]) == (1, 1, True, 1)
    assert record["rss_kb"] > 1000
    assert 0 <= record["seconds"] < 30
    said = [line.split(" ", 1)[1] for line in record["log"].splitlines()]
    assert said == [f"INFO shop.images: line {number}" for number in range(30, 50)], "the last 20"
    assert "log" not in death(quiet.delay()), "what another one has said is not its"


def test_a_crash_in_c_code_tells_where_it_was(start: Start) -> None:
    start("crashing", "--max-deliveries", "1", processes=1)
    handle = touches_address_0.delay()
    record = death(handle)
    assert record["signal"] == "SIGSEGV"
    assert record["traceback"].startswith("Fatal Python error: Segmentation fault")
    assert "in touches_address_0" in record["traceback"]
    with pytest.raises(TaskFailed) as caught:
        handle.get()
    assert "killed its worker 1 time (SIGSEGV" in caught.value.message
    assert "in touches_address_0" in caught.value.traceback
    record = death(quiet.delay())
    assert "traceback" not in record, "that was of the process before"


def test_the_peak_memory_is_that_of_the_process(start: Start) -> None:
    start("crashing", "--max-deliveries", "1", processes=1)
    small, large = death(quiet.delay()), death(grows.delay(100))
    assert large["cause"].startswith("exit code 7, peak ")
    assert large["rss_kb"] - small["rss_kb"] > 50 << 10


def test_with_several_threads_each_is_told_of_the_others_and_keeps_its_own_log(start: Start, tmp_path: Path) -> None:
    start("crashing", "-t", "2", processes=1)
    gate = tmp_path / "gate"
    handle = says.delay(3, str(gate))
    eventually(Path(f"{gate}-said").exists, "it has said all its lines")
    killer = quiet.delay()
    found: Callable[[], list[dict[str, Any]]] = lambda: inspect.attempts(app.broker, "default", handle.id)  # noqa: E731
    eventually(lambda: bool(found()), "its process has died")
    (record,) = found()
    assert record["charged"] is False
    assert [other["id"] for other in record["beside"]] == [killer.id]
    assert {record["thread"], record["beside"][0]["thread"]} == {1, 2}
    assert record["log"].count("\n") == 2
    gate.touch()
    handle.get(timeout=30)
    assert "its worker was killed by SIGKILL" in death(killer)["message"]


def test_no_log_of_a_handler_fails_because_it_is_kept(start: Start) -> None:
    host = start("crashing", processes=1)
    host.tracebacks_allowed = True  # logging itself shows what it cannot format
    assert logs_elsewhere.delay("through").get(timeout=30) == "through"
