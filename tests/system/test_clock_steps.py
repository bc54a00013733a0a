"""The broker's clock is set by an hour while schedules tick: they go on by the new time, and none is silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apps.schedules import DECLARED, app
from tests.support.clock import Clock, adjustable, skewed
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.support.rules import check_rules
from tests.system.conftest import Start
from tests.system.test_schedules import all_between, ticks

HOUR = 3600


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    with adjustable(tmp_path) as clock:
        app.rebind(clock.url)
        yield clock


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_schedules_go_on_by_the_new_time_at_once(
    start_anywhere: Start, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setenv(DECLARED, "second|@every 1s;hour|@hourly")
    made = app.schedules.create("minute", "* * * * *", "job")
    hosts = [start_anywhere("schedules", "--lease", "2s", processes=1, broker=clock.url) for _ in range(2)]
    eventually(lambda: len(ticks(journal, "second")) > 2, "it ticks")
    before = max(ticks(journal, "second"))
    assert made.next[0].timestamp() * 1000 < before + 61_000
    clock.set(step)

    def by_the_new_time() -> list[int]:
        return [tick for tick in ticks(journal, "second") if (tick - before) * step > 0 and abs(tick - before) > 60_000]

    eventually(lambda: len(by_the_new_time()) > 4, "it ticks by the new time")
    found = by_the_new_time()[-4:]
    assert found == list(range(found[0], found[0] + 4000, 1000)), "one after the other"
    assert len(ticks(journal, "second")) < 100, "what was missed does not fire"
    for schedule in app.schedules.list():
        ahead_s = schedule.next[0].timestamp() - max(ticks(journal, "second")) / 1000
        assert ahead_s <= {"second": 3, "minute": 62, "hour": HOUR + 2}[schedule.name]
    assert {schedule.name for schedule in app.schedules.list()} == {"second", "minute", "hour"}, "none is retired"
    for name in ("second", "minute", "hour"):
        app.schedules.pause(name)
    room = Room(clock.url)
    eventually(lambda: not room.redis.exists(room.key("TASKS")), "all has run")
    check_rules(room)
    ids = [line.id for line in journal.lines("TICK")]
    assert len(ids) == len(set(ids))
    room.close()
    for host in hosts:
        host.terminate()


def test_hosts_whose_own_clocks_are_wrong_tick_by_that_of_the_broker(
    start: Start, journal: Journal, room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app.rebind(room.url)
    app.schedules.create("second", "@every 1s", "job")
    hosts = []
    for seconds in (HOUR, -HOUR):
        for name, value in skewed(tmp_path, seconds).items():
            monkeypatch.setenv(name, value)
        hosts.append(start("schedules", "--lease", "1s", processes=1))
    for _ in range(2):
        seen = len(ticks(journal, "second"))
        eventually(lambda seen=seen: len(ticks(journal, "second")) > seen + 1, "it ticks")  # type: ignore[misc]
        hosts.pop().kill()
    found = sorted(ticks(journal, "second"))
    assert found == all_between(found, 1000)
    assert abs(room.now_ms() - found[-1]) < 60_000
    app.schedules.delete("second")
