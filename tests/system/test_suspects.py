"""Tasks that take their whole host along are found, and nobody else pays for them."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from distq.broker import inspect
from tests.support.apps.processes import app, kills_host, wait, work
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
