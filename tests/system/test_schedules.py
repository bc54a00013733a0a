"""Schedules on real hosts: each tick fires once, whoever dies or stands still, and people and code agree about them."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from distq import Distq, Schedule, UnknownSchedule
from distq.errors import ConfigurationError
from distq.periodic import Missed, Overlap
from tests.support.apps.schedules import DECLARED, app, by_shop
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start

LEASE = ("--lease", "1s")


@pytest.fixture(autouse=True)
def bound(room: Room) -> Iterator[None]:
    app.rebind(room.url)
    yield
    for place in ("CODED", "DECLARERS"):
        room.redis.delete(room.key(place))
    for name in list(room.redis.smembers(room.key("SCHEDULES"))):
        app.schedules.delete(name.decode())


def declare(monkeypatch: pytest.MonkeyPatch, *schedules: str) -> None:
    """What the code of hosts that are started from now on declares."""
    monkeypatch.setenv(DECLARED, ";".join(schedules))


def ticks(journal: Journal, name: str) -> list[int]:
    """Those of which tasks have run, in ms."""
    labels = [line.label.split() for line in journal.lines("TICK")]
    return [int(tick) for schedule, tick in labels if schedule == name]


def all_between(found: list[int], period_ms: int) -> list[int]:
    return list(range(min(found), max(found) + 1, period_ms))


@pytest.mark.parametrize("number", [4])
def test_each_tick_fires_once_while_hosts_are_killed_and_stand_still(
    start: Start, journal: Journal, room: Room, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The long form of this is `python -m benchmarks schedules`."""
    declare(monkeypatch, "second|@every 1s")
    hosts = [start("schedules", *LEASE, processes=1) for _ in range(number)]
    chance, begun = random.Random(number), time.monotonic()
    eventually(lambda: ticks(journal, "second"), "it ticks")
    while len(set(ticks(journal, "second"))) < 20:
        assert time.monotonic() - begun < 90, f"it ticks no more: {ticks(journal, 'second')}"
        victim = chance.randrange(number)
        keeper = (room.redis.hget(room.key("META"), "keeper") or b"").decode()
        if chance.random() < 0.6:  # mostly it is the one that fires
            victim = next((n for n, host in enumerate(hosts) if f"-{host.supervisor}-" in keeper), victim)
        if chance.random() < 0.5:
            hosts[victim].kill()
            hosts[victim] = start("schedules", *LEASE, processes=1, ready=False)
        else:
            hosts[victim].send_all(signal.SIGSTOP)
            time.sleep(chance.uniform(0.2, 3))  # what is tested is time that passes
            hosts[victim].send_all(signal.SIGCONT)
    end(hosts)
    found = set(ticks(journal, "second"))
    assert sorted(found) == all_between(list(found), 1000), "none is missing"
    fired = Counter(past.outcome for past in app.schedules.history("second"))
    assert set(fired) == {"fired"}
    drain(start, room)
    assert room.ledger()["enqueued job"] == len(set(ticks(journal, "second"))), "none is double"


def end(hosts: list[Host]) -> None:
    for host in hosts:
        host.await_ready()
        host.send(signal.SIGTERM)
    for host in hosts:
        host.wait()


def drain(start: Start, room: Room) -> None:
    """Runs what is left, and nothing else: what the last host fired at its end, say."""
    app.schedules.pause("second")
    host = start("schedules", *LEASE, processes=1)
    eventually(lambda: not room.redis.exists(room.key("TASKS")), "all has run")
    host.terminate()


def test_a_keeper_that_stands_still_is_replaced_within_seconds(
    start: Start, journal: Journal, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is long: that is not waited for."""
    declare(monkeypatch, "quick|@every 500ms")
    hosts = [start("schedules", "--lease", "30s", processes=1) for _ in range(2)]
    eventually(lambda: len(ticks(journal, "quick")) > 2, "it ticks")
    keeper = room.redis.hget(room.key("META"), "keeper").decode()
    [held] = [host for host in hosts if f"-{host.supervisor}-" in keeper]
    held.send_all(signal.SIGSTOP)
    before, begun = len(ticks(journal, "quick")), time.monotonic()
    eventually(lambda: len(ticks(journal, "quick")) > before + 6, "another one fires")
    assert time.monotonic() - begun < 25
    held.send_all(signal.SIGCONT)
    eventually(
        lambda: (found := sorted(ticks(journal, "quick"))) == all_between(found, 500),
        "each tick's task has run, also one that the host held that stood still",
    )
    end(hosts)
    found = ticks(journal, "quick")
    assert len(found) == len(set(found))


def test_a_schedule_of_run_time_outlives_all_hosts(start: Start, journal: Journal) -> None:
    made = app.schedules.create("night", "@every 1s", "job")
    assert not made.is_declared
    for _ in range(2):
        before = len(ticks(journal, "night"))
        host = start("schedules", *LEASE, processes=1)
        eventually(lambda before=before: len(ticks(journal, "night")) > before, "it ticks")  # type: ignore[misc]
        assert host.terminate() == 0
    assert app.schedules.get("night").state == "active"


def test_what_is_removed_from_the_code_is_retired_when_its_last_host_is_gone(
    start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new release live side by side for a while."""
    declare(monkeypatch, "both|@every 1s", "old|@every 1s")
    old = start("schedules", *LEASE, processes=1)
    old.await_log("schedule old (@every 1s) is that of the code now: next 20")
    declare(monkeypatch, "both|@every 1s", "new|@every 1s")
    start("schedules", *LEASE, processes=1)
    eventually(lambda: ticks(journal, "new") and ticks(journal, "old"), "both releases' schedules tick")
    seen = len(ticks(journal, "old"))
    eventually(lambda: len(ticks(journal, "old")) > seen + 4, "for longer than a declaration holds")
    old.terminate()
    eventually(lambda: app.schedules.get("old").is_orphaned, "it rests", within=5)
    last = len(ticks(journal, "old"))
    eventually(lambda: {one.name for one in app.schedules.list()} == {"both", "new"}, "it is retired")
    assert len(ticks(journal, "old")) <= last + 1, "and has not ticked since"


def test_what_people_change_holds_for_hosts_at_once_and_longer_than_the_code(
    start: Start, journal: Journal, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, "it|@every 1s")
    host = start("schedules", *LEASE, processes=1)
    eventually(lambda: ticks(journal, "it"), "it ticks")
    assert app.schedules.pause("it").state == "paused"
    seen = len(ticks(journal, "it"))
    assert app.schedules.trigger("it").get(timeout=20) is None
    assert app.schedules.history("it")[0].outcome == "triggered"
    host.terminate()
    host = start("schedules", *LEASE, processes=1)
    assert app.schedules.get("it").is_paused
    assert len(ticks(journal, "it")) <= seen + 2
    edited = app.schedules.edit("it", when="0 3 * * *", tz="Europe/Berlin")
    assert (edited.when, edited.is_edited, edited.is_paused) == ("0 3 * * *", True, True)
    host.terminate()
    start("schedules", *LEASE, processes=1)
    assert app.schedules.resume("it").next[0].hour == 3
    seen = len(ticks(journal, "it"))
    after = app.schedules.reset("it")
    assert (after.when, after.tz, after.is_edited, after.state) == ("@every 1s", "", False, "active")
    eventually(lambda: len(ticks(journal, "it")) > seen, "it ticks as the code says")
    with pytest.raises(ConfigurationError, match="declared by code"):
        app.schedules.delete("it")


@pytest.mark.parametrize(("missed", "expected"), [("skip", 0), ("once", 1), ("all", 10)])
def test_what_was_due_while_no_host_was_there_fires_as_it_says(
    start: Start, journal: Journal, room: Room, missed: Missed, expected: int
) -> None:
    made = app.schedules.create("it", "@every 1h", "job", missed=missed)
    room.pass_time(int(made.next[0].timestamp() * 1000) - room.now_ms() + 9 * 3_600_000 + 60_001)
    app.schedules.create("beacon", "@every 1s", "job")
    start("schedules", *LEASE, processes=1)
    eventually(lambda: len(ticks(journal, "beacon")) > 1, "what is due has been fired")
    eventually(lambda: len(ticks(journal, "it")) >= expected, "all that fires has fired")
    assert len(ticks(journal, "it")) == len(set(ticks(journal, "it"))) <= expected + 1
    assert [past.outcome for past in app.schedules.history("it")] == ["missed"] * (missed == "skip") + ["fired"] * len(
        ticks(journal, "it")
    )
    assert app.schedules.get("it").next[0].timestamp() > time.time() - 60


@pytest.mark.parametrize("overlap", ["skip", "replace", "queue"])
def test_while_the_task_of_the_last_tick_runs_the_next_one_does_as_it_says(
    start: Start, journal: Journal, gate: Path, overlap: Overlap
) -> None:
    app.schedules.create("it", "@every 1s", "hold", args=[str(gate)], overlap=overlap)
    start("schedules", *LEASE, processes=3)
    outcome = {"skip": "skipped", "replace": "replaced", "queue": "fired"}[overlap]
    eventually(lambda: [one.outcome for one in app.schedules.history("it")].count(outcome) > 2, outcome)
    if overlap == "skip":
        assert len(journal.starts(label="hold")) == 1
    else:
        eventually(lambda: len(journal.starts(label="hold")) > 1, "another one begins, too")
    gate.touch()
    seen = len(app.schedules.history("it"))
    eventually(lambda: app.schedules.history("it")[0].outcome == "fired" and seen, "it goes on")


def test_a_schedule_that_cannot_be_computed_here_keeps_no_other_from_ticking(
    start: Start, journal: Journal, room: Room
) -> None:
    for name in ("bad", "good"):
        app.schedules.create(name, "@every 1s", "job")
    room.redis.hset(room.key("SCHEDULE", "bad"), mapping={"when": "0 0 * * *", "tz": "Mars/Olympus"})
    host = start("schedules", *LEASE, processes=1)
    eventually(lambda: len(ticks(journal, "good")) > 2, "the other one ticks")
    assert host.log().count("schedule bad cannot tick here: tz='Mars/Olympus'") == 1
    assert ticks(journal, "bad") == []
    assert app.schedules.get("bad").next == ()
    room.redis.zadd(room.key("FIRES"), {"bad": int(room.redis.hget(room.key("SCHEDULE", "bad"), "tick"))})


def test_many_queues_have_their_own_schedules(start: Start, journal: Journal, room: Room) -> None:
    host = start("schedules", *LEASE, processes=1)
    with pytest.raises(UnknownSchedule, match="there are: none yet"):
        app.schedules.get("it")
    made = app.schedules.create("it", "@every 1s", "job")
    assert isinstance(made, Schedule)
    eventually(lambda: ticks(journal, "it"), "a host that runs learns of it at once")
    app.schedules.delete("it")
    with pytest.raises(UnknownSchedule):
        app.schedules.trigger("it")
    assert host.terminate() == 0


def test_arguments_are_changed_with_and_without_the_code(start: Start, journal: Journal, room: Room) -> None:
    """A limit by an argument goes with that."""
    other = Distq("app", room.url)
    app.schedules.create("sum", "@daily", "add", args=[1], priority="high")
    app.schedules.create("shop", "@daily", by_shop, args=["north"])
    start("schedules", *LEASE, processes=1)
    assert app.schedules.trigger("shop").get(timeout=20) == "north"
    assert app.schedules.edit("sum", kwargs={"b": 5}).args == (1,)
    assert app.schedules.trigger("sum").get(timeout=20) == 6
    changed = other.schedules.edit("sum", args=[7], kwargs={})
    assert (changed.args, changed.kwargs, changed.when) == ((7,), {}, "@daily")
    assert app.schedules.trigger("sum").get(timeout=20) == 7
    app.schedules.edit("shop", args=["south"], when="@hourly")
    assert app.schedules.trigger("shop").get(timeout=20) == "south"
    with pytest.raises(ConfigurationError, match="limits by its arguments"):
        other.schedules.edit("shop", args=["west"])
    with pytest.raises(TypeError, match="too many positional arguments"):
        app.schedules.edit("sum", args=[1, 2, 3])
    assert other.schedules.edit("shop", when="@weekly").args == ("south",)
