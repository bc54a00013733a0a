"""Pauses and limits that are set while hosts run, by what the tasks themselves have written down."""

from __future__ import annotations

import pytest

from tests.support.apps import flow
from tests.support.apps.flow import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.monitor import Monitor
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def test_a_pause_holds_over_restarts_and_idle_hosts_are_silent(start: Start, journal: Journal, room: Room) -> None:
    first = start("flow")
    assert app.pause(queue="default", by="ann")
    paused = [flow.in_turn.delay(tenant) for tenant in "abcabc"]
    first.close()
    start("flow")
    said = Monitor(room.url).commands(2.0)
    assert len([line for line in said if "EVALSHA" in line or "BZPOPMIN" in line]) <= 12, said
    assert {handle.status() for handle in paused} == {"queued"}
    assert app.why(paused[0].id).gates[0].name == "queue_paused"
    assert app.resume(queue="default")
    for handle in paused:
        handle.get(timeout=30)
    assert len(journal.starts()) == 6


def test_a_paused_type_and_key_wait_until_they_are_resumed(start: Start, journal: Journal) -> None:
    start("flow")
    app.pause(type="in_turn")
    app.pause(type="one_of_each", key="a")
    turn, a = flow.in_turn.delay("x"), flow.one_of_each.delay("a", 0)
    flow.one_of_each.delay("b", 0).get(timeout=30)
    flow.two_at_once.delay(0).get(timeout=30)
    assert (turn.status(), a.status()) == ("queued", "queued")
    assert [(one.type, one.key) for one in app.pauses()] == [("in_turn", None), ("one_of_each", "a")]
    app.resume(type="in_turn")
    turn.get(timeout=30)
    app.resume(type="one_of_each", key="a")
    a.get(timeout=30)


def test_a_limit_that_is_set_holds_at_once_and_over_restarts(start: Start, journal: Journal) -> None:
    first = start("flow")
    app.limits.set("two_at_once", max_running=1)
    first.close()
    start("flow")
    calls = [flow.two_at_once.delay(0.3) for _ in range(3)]
    eventually(
        lambda: "max_running" in [gate.name for gate in app.why(calls[-1].id).gates], "it waits for the one that runs"
    )
    assert app.limits.list()[-1].now.max_running == 1
    for handle in calls:
        handle.get(timeout=30)
    lines = sorted(journal.lines(), key=lambda line: line.at)
    assert [line.event for line in lines][::2] == ["START"] * 3, "one after the other"
    assert app.limits.clear("two_at_once")
