"""Who may run at once, per key and in all, in turn and in order: by what the tasks themselves have written down."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import pytest

from distq.result import Handle
from tests.support.apps import flow
from tests.support.apps.flow import app
from tests.support.journal import Journal, Line
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def all_ended(handles: Iterable[Handle[None]]) -> None:
    for handle in handles:
        handle.get(timeout=60)


def most_at_once(journal: Journal, label: str | None = None) -> int:
    """How many ran at the same time, at most."""
    lines: list[Line] = [line for line in journal.lines() if label in (None, line.label)]
    running = most = 0
    for line in sorted(lines, key=lambda line: line.at):
        running += 1 if line.event == "START" else -1
        most = max(most, running)
    return most


def test_max_running_holds_for_all_hosts_and_is_used(start: Start, journal: Journal) -> None:
    start("flow")
    start("flow")
    all_ended([flow.two_at_once.delay(0.02) for _ in range(30)])
    assert most_at_once(journal) == 2


def test_max_running_per_key(start: Start, journal: Journal) -> None:
    start("flow", processes=4)
    all_ended([flow.one_of_each.delay(tenant, 0.02) for _ in range(6) for tenant in "abcd"])
    assert most_at_once(journal) == 3
    assert {most_at_once(journal, tenant) for tenant in "abcd"} == {1}


def test_each_key_has_its_own_rate(start: Start, journal: Journal) -> None:
    start("flow")
    tenants: list[str | UUID | int | None] = ["a", UUID(int=7), 7, None]
    all_ended([flow.at_its_rate.delay(tenant) for _ in range(7) for tenant in tenants])
    for tenant in tenants:
        times = sorted(line.at for line in journal.starts() if line.label == str(tenant))
        assert len(times) == 7
        assert times[-1] - times[0] >= (7 - 2) / 20 - 0.02, "two at once, then one every 50 ms"


def test_one_with_few_tasks_does_not_wait_for_one_with_many(start: Start, journal: Journal) -> None:
    many = flow.in_turn.delay_many([("many",)] * 300)
    few = flow.in_turn.delay_many([("few",)] * 3)
    start("flow", processes=1)
    all_ended(few)
    labels = [line.label for line in journal.starts()]
    assert labels.index("few") <= 4
    assert labels[:40].count("few") == 3
    assert len(labels) < 200
    all_ended(many)


def test_in_order_through_retries(start: Start, journal: Journal) -> None:
    start("flow", "-t", "4")
    calls = [(account, number, number % 3) for number in range(8) for account in ("x", "y")]
    handles = flow.in_order.delay_many(calls)
    all_ended(handles)
    for account in ("x", "y"):
        assert most_at_once(journal, account) == 1
        wanted = [handle.id for handle, call in zip(handles, calls, strict=True) if call[0] == account]
        ran = [line.id for line in journal.starts() if line.label == account]
        assert list(dict.fromkeys(ran)) == wanted
        assert ran == sorted(ran, key=wanted.index), "none began before the one before it had ended"
