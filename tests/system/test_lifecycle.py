"""What worker processes do at their start and end, and what they open: each its own."""

from __future__ import annotations

import os
import signal
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from distq import Distq, TaskFailed
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.system.conftest import Start


class Life:
    """What the processes have noted."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def of(self, pid: int) -> list[str]:
        pairs = (line.split(" ", 1) for line in self.lines())
        return [text for its, text in pairs if int(its) == pid]

    def starts(self) -> list[int]:
        """Who has begun, in their order."""
        return [int(line.split()[0]) for line in self.lines() if line.endswith(" start")]

    def lines(self) -> list[str]:
        return self.place.read_text().splitlines() if self.place.exists() else []


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    place = tmp_path / "life"
    monkeypatch.setenv("LIFE", str(place))
    return Life(place)


@pytest.fixture
def lifecycle(life: Life, url: str) -> object:
    from tests.support.apps import lifecycle

    lifecycle.app.rebind(url)
    return lifecycle


def results(lifecycle: object, name: str, number: int) -> list[Any]:
    handles = lifecycle.app.tasks[name].delay_many([()] * number)  # type: ignore[attr-defined]
    return [handle.get(timeout=30) for handle in handles]


@pytest.mark.parametrize("threads", [1, 4])
def test_each_process_begins_and_ends_with_what_it_has_opened(
    start: Start, life: Life, lifecycle: object, threads: int
) -> None:
    host = start("lifecycle", "-t", str(threads), processes=2)
    host.tracebacks_allowed = True
    children = host.children
    for pid, connection, _ in results(lifecycle, "use", 200):
        assert connection == f"connection {pid}"
    assert host.terminate() == 0
    for pid in children:
        noted = life.of(pid)
        assert noted[0] == "start"
        assert sorted(noted) == ["close", "open", "start", f"stop with connection {pid}"]
        assert noted[-1] == "close"
    assert host.log().count("on_worker_stop fail failed") == 2
    assert "close" not in life.of(host_template(life)), "nobody closes what is the template's"


def host_template(life: Life) -> int:
    """Who has opened something without being a worker (beside this test)."""
    starts = {line.split()[0] for line in life.lines() if line.endswith("start")}
    (pid,) = {int(line.split()[0]) for line in life.lines()} - {int(pid) for pid in starts} - {os.getpid()}
    return pid


@pytest.mark.parametrize("threads", [1, 3])
def test_an_async_resource_lives_on_its_loop_with_its_tasks(
    start: Start, life: Life, lifecycle: object, threads: int
) -> None:
    host = start("lifecycle", "-t", str(threads), processes=1)
    host.tracebacks_allowed = True
    found = results(lifecycle, "ause", 20)
    assert all(after > before for before, after in found), "its own task goes on behind the handler that has opened it"
    assert host.terminate() == 0
    counted = Counter(line.split()[1] for line in life.lines())
    assert 1 <= counted["aopen"] <= threads
    assert counted["aclose"] == counted["aopen"]


def test_usr1_shows_where_a_process_stands_that_does_not_start(start: Start, life: Life, lifecycle: object) -> None:
    hang = Path(f"{life.place}.hang")
    hang.touch()
    host: Host = start("lifecycle", processes=1, ready=False)
    host.tracebacks_allowed = True
    host.await_log("application app")
    eventually(lambda: any("start" in life.of(pid) for pid in host.children), "it starts")
    host.send(signal.SIGUSR1)
    host.await_log("has not started yet: its on_worker_start is running")
    host.await_log("stacks, as asked for with USR1")
    hang.unlink()
    assert results(lifecycle, "use", 1)
    assert host.terminate() == 0


def test_a_start_that_hangs_gives_way_to_fresh_code(start: Start, life: Life, lifecycle: object) -> None:
    """Be it that of the first process, or of a successor."""
    stuck = Path(f"{life.place}.stuck")
    stuck.touch()
    host: Host = start("lifecycle", processes=1, ready=False)
    host.tracebacks_allowed = True
    eventually(lambda: "stuck" in "".join(life.lines()), "it hangs in its start")
    stuck.unlink()
    host.send(signal.SIGHUP)
    host.await_ready()
    assert results(lifecycle, "use", 1)[0][0] == life.starts()[1]
    stuck.touch()
    host.send(signal.SIGHUP)
    eventually(lambda: "".join(life.lines()).count("stuck") == 2, "a successor hangs, too")
    stuck.unlink()
    host.send(signal.SIGHUP)
    eventually(lambda: results(lifecycle, "use", 1)[0][0] == life.starts()[-1], "another one takes its place")
    assert host.log().count("a process of the code before has not started yet") == 2
    assert host.terminate() == 0


def test_an_end_that_hangs_keeps_no_seat_and_is_bounded(start: Start, life: Life, lifecycle: object) -> None:
    Path(f"{life.place}.endless").touch()
    host: Host = start("lifecycle", "--max-tasks-per-child", "2", "--grace", "300ms", processes=1)
    host.tracebacks_allowed = True
    assert len({results(lifecycle, "use", 1)[0][0] for _ in range(8)}) == 4
    host.await_log("is killed: its end takes longer than --grace (on_worker_stop, closing)", times=2)
    assert host.terminate() == 0


def test_a_careless_application_harms_neither_its_host_nor_its_end(start: Start, url: str, life: Life) -> None:
    """It forks, ignores and blocks signals and takes its streams away when it is imported; and then it cannot fork."""
    app = Distq("app", broker=url)
    host: Host = start("careless", processes=1)
    host.await_log("has started a process while it was imported: this host does not end it")
    for name in ("ends", "dies", "ends"):
        with pytest.raises(TaskFailed, match="exited with code 3" if name == "dies" else "^SoftTimeLimit"):
            app.enqueue(name).get(timeout=30)
    os.kill(host.template, signal.SIGKILL)
    host.await_log("the template process was killed by SIGKILL; a new one in")  # although its fork has all its files
    assert app.enqueue("who").get(timeout=30) > 0
    app.enqueue("configures").get(timeout=30)
    for _ in range(2):
        app.enqueue("who").get(timeout=30)
    eventually(lambda: host.log().count("distq.task: who ") >= 2, "lines about what has ended are written")
    second, full = host.template, Path(f"{life.place}.full")
    full.touch()
    with pytest.raises(TaskFailed, match="exited with code 3"):
        app.enqueue("dies").get(timeout=30)
    host.await_log("a worker process could not be started: [Errno 11] the machine is full; again in", times=2)
    full.unlink()
    assert app.enqueue("who").get(timeout=30) > 0
    assert host.template == second, "what is there goes on"
    assert host.terminate() == 0


def test_a_process_whose_start_fails_is_not_used_and_tried_again_with_pauses(
    start: Start, life: Life, lifecycle: object
) -> None:
    host: Host = start("lifecycle", processes=1)
    host.tracebacks_allowed = True
    results(lifecycle, "use", 1)
    refuse = Path(f"{life.place}.refuse")
    refuse.touch()
    os.kill(host.children[0], signal.SIGKILL)
    handle = lifecycle.app.tasks["use"].delay()  # type: ignore[attr-defined]
    host.await_log("on_worker_start failed: this process is not used", times=3)
    assert handle.status() == "queued"
    refused = [float(line.split()[2]) for line in life.lines() if " refused " in line]
    gaps = [later - earlier for earlier, later in pairwise(refused)]
    for gap, pause in zip(gaps, (0.1, 0.2, 0.4), strict=False):
        assert gap >= 0.95 * pause, f"also where processes have worked before: {gaps}"
    refuse.unlink()
    assert handle.get(timeout=30)[0] == host.children[0]
