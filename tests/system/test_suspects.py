"""Tasks that take their whole host along are found, and nobody else pays for them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from distq import TaskFailed
from distq.broker import inspect
from tests.support.apps.processes import app, kills_host, once, wait, work
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start

POISON, GOOD = 3, 100


@pytest.fixture(autouse=True)
def bound(room: Room) -> None:
    app.rebind(room.url)


@pytest.mark.parametrize("options", [("-p", "2"), ("-p", "1", "-t", "8"), ("-p", "1")], ids=" ".join)
def test_what_kills_its_whole_host_is_found_and_the_others_are_charged_nothing(
    start: Start, journal: Journal, options: tuple[str, ...]
) -> None:
    """However often: each death of the host tells more about who it was."""
    good = wait.delay_many([(0.002,)] * (GOOD // 2))
    poison = kills_host.delay_many([()] * POISON)
    good += wait.delay_many([(0.002,)] * (GOOD // 2))
    hosts: list[Host] = []
    give_up = time.monotonic() + 120
    while any(handle.status() not in ("completed", "dead") for handle in good + poison):
        assert time.monotonic() < give_up, Counter(handle.status() for handle in good + poison)
        if not hosts or hosts[-1].process.poll() is not None:
            hosts.append(start("processes", *options, "--max-deliveries", "2", "--lease", "1h", ready=False))
        time.sleep(0.02)
    assert [handle.status() for handle in good] == ["completed"] * GOOD
    assert [handle.status() for handle in poison] == ["dead"] * POISON
    for handle in poison:
        records = inspect.attempts(app.broker, "default", handle.id)
        assert records[-1]["message"] == "killed its worker 2 times"
        assert sum(record.get("charged", False) for record in records) == 2
    charged = {line.delivery for handle in good for line in journal.starts(id=handle.id)}
    assert charged == {1}
    assert work.delay().get(timeout=30)


def test_whoever_runs_a_long_task_is_not_kept_waiting_for_it(start: Start, journal: Journal, tmp_path: Path) -> None:
    """One process is at a long task: the host gives up its wish to be empty, and works on; then it is empty."""
    gate, door = tmp_path / "gate", tmp_path / "door"
    isolated = work.delay(str(gate))
    for number in (1, 2):
        host = start("processes", "--lease", "1h")
        eventually(lambda: len(journal.starts(id=isolated.id)) == number, "it has started")  # noqa: B023
        host.kill()
    long = work.delay(str(door))
    start("processes", "--lease", "1h", "-Q", "default")
    eventually(lambda: len(journal.starts(id=long.id)) == 1, "the long one runs")
    for handle in work.delay_many([()] * 100):
        handle.get(timeout=30)
    assert len(journal.starts(id=isolated.id)) == 2, "it waits until it can be alone"
    assert isolated.status() == "queued"
    door.touch()
    gate.touch()
    isolated.get(timeout=60)
    assert journal.starts(id=isolated.id)[-1].delivery == 1


# -- at most once ----------------------------------------------------------------------------------------------------


def lose_the_host(host: Host) -> None:
    host.kill()


def kill_the_child(host: Host) -> None:
    for child in host.children:
        os.kill(child, signal.SIGKILL)


def end_the_grace(host: Host) -> None:
    host.terminate()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lose_the_host, "its host was lost"),
        (kill_the_child, "its worker was killed by SIGKILL"),
        (end_the_grace, "its host ended before it was done"),
    ],
)
@pytest.mark.parametrize("threads", ["1", "4"])
def test_at_most_once_is_not_started_again_however_it_ended(
    start: Start, journal: Journal, tmp_path: Path, end: Callable[[Host], None], why: str, threads: str
) -> None:
    gate = tmp_path / "gate"
    handles = once.delay_many([(str(gate),)] * 2)
    host = start("processes", "--lease", "1h", "--grace", "0.2s", "-t", threads, processes=1)
    eventually(lambda: len(journal.starts()) == (1 if threads == "1" else 2), "what can run at once runs")
    begun = {line.id for line in journal.starts()}
    end(host)
    gate.touch()
    start("processes", "--lease", "1h", "-t", threads, processes=1)
    for handle in handles:
        if handle.id in begun or (end is lose_the_host and handle.status() == "dead"):
            with pytest.raises(TaskFailed, match=f"MayHaveRun: may have run: {why}"):
                handle.get(timeout=30)
        else:
            handle.get(timeout=30)
    assert len(journal.starts()) == len({line.id for line in journal.starts()}), "none was started twice"
    assert work.delay().get(timeout=30)
