"""What a supervisor does with children that end, without any process of a host."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from distq.config import WorkerConfig
from distq.supervisor.children import Children
from distq.supervisor.condition import Condition
from distq.supervisor.crews import Crew
from distq.supervisor.service import NEVER, Site
from distq.supervisor.succession import Succession
from distq.supervisor.templates import Template
from distq.worker import board
from distq.worker.board import Board


class Forks:
    """A template that forks nobody."""

    def fork(self, slot: int, queues: list[str]) -> None:
        """It says later that it has."""


@pytest.fixture
def site() -> Site:
    config, here = WorkerConfig(app="app:app", processes=1, grace_ms=300), Board(8)
    crews = [Crew([], "", [], True, []), Crew([], "", [], False, [])]
    link = SimpleNamespace(failing_since=None)
    return Site(config, here, cast("Any", link), "host", [], [], crews, [], [])


@pytest.fixture
def children(site: Site) -> Iterator[Children]:
    pipes = [os.pipe() for _ in site.board.slots]
    for reader, writer in pipes:
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
    dumps = [os.memfd_create("dump") for _ in pipes]
    yield Children(site, pipes, dumps)
    for number in (*dumps, *(end for pipe in pipes for end in pipe)):
        os.close(number)


def test_a_child_that_hangs_in_its_end_may_be_gone_when_it_is_killed(children: Children, site: Site) -> None:
    """Its template has reaped it, and this is not heard yet."""
    process = subprocess.Popen(["true"])
    process.wait()
    children.forked(0, process.pid)
    site.board.slots[0].words[board.STATE] = board.LEFT
    children.work(10.0)
    assert children.deadline() == 10.3
    children.work(10.4)
    assert children.deadline() == NEVER, "it is not looked at again and again"


def test_a_host_that_ends_waits_for_no_time_that_is_over(children: Children, site: Site) -> None:
    """It would look at its clock all the time until its grace period is over."""
    children.forked(0, os.getpid())
    site.board.slots[0].words[board.STATE] = board.LEFT
    children.work(10.0)
    children.end(10.1)
    children.work(11.0)
    assert children.deadline() == NEVER


def test_a_child_that_is_outdated_before_it_is_forked_is_ended_then(children: Children) -> None:
    old, fresh = cast("Template", Forks()), cast("Template", Forks())
    children.use(old)
    children.work(10.0)
    children.use(fresh)
    assert children.outdate(0)
    with subprocess.Popen(["sleep", "60"]) as process:
        children.forked(0, process.pid)
        assert process.wait(30) == -signal.SIGKILL


def test_who_leaves_already_is_told_once(children: Children, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.crews[0] = site.crews[1]  # nothing is left for it, so that nobody takes its place
    children.use(cast("Template", Forks()))
    children.forked(0, os.getpid())
    site.board.slots[0].words[board.STATE] = board.BUSY
    succession = Succession(site, children)
    caplog.set_level("INFO", "distq.supervisor")
    for _ in range(3):
        succession.replace(0, "it is deaf")
        succession.work(10.0)
    assert caplog.text.count("ends: it is deaf") == 1
    assert site.replaced["recycled"] == 1


def test_a_host_that_runs_an_isolated_task_is_alive(children: Children, site: Site) -> None:
    """All other processes have ended for that. A watchdog that ended it would make the task one that kills hosts."""
    condition = Condition(site, children, cast("Any", None), [])
    assert not condition.is_alive
    children.only = len(site.board.slots) - 1
    assert condition.is_alive
