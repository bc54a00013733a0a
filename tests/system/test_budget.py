"""Budgets with real hosts: never more than they allow in any window, and parked by whoever has heard that it was too
much."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distq import BudgetExhausted
from tests.support.apps import budget
from tests.support.apps.budget import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start


def when_parked(room: Room, name: str, journal: Journal, id: str) -> float:
    """When the task had begun that has parked it."""
    eventually(lambda: room.redis.exists(room.key("BUCKET", name)), f"{name} is parked")
    return journal.starts(id)[0].at


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def acquired(tokens: int) -> tuple[float, int]:
    """When it was granted, and for how much."""
    with budget.shared.acquire(cost=tokens):
        return time.monotonic(), tokens


async def aacquired(tokens: int) -> tuple[float, int]:
    async with budget.shared.aacquire(cost=tokens):
        return time.monotonic(), tokens


def most_in_any_window(grants: list[tuple[float, float]], seconds: float) -> float:
    return max(sum(n for at, n in grants if begin <= at <= begin + seconds) for begin, _ in grants)


def test_types_and_programs_share_it_and_never_take_more(start: Start, journal: Journal) -> None:
    """20 calls a second (burst 2), 200 tokens a second (burst 30). Starts are a little later than their grants, so that
    windows may look fuller than they were: by a call of each process."""
    start("budget", processes=2)
    start("budget", processes=2)
    handles = [budget.one.delay(10) for _ in range(10)] + [budget.other.delay(5) for _ in range(10)]
    with ThreadPoolExecutor(3) as threads:
        mine = list(threads.map(acquired, [10] * 10))
    mine.append(asyncio.run(aacquired(10)))
    for handle in handles:
        handle.get(timeout=60)
    grants = [(line.at, float(line.label)) for line in journal.starts()] + mine
    assert len(grants) == 31
    first, last = min(at for at, _ in grants), max(at for at, _ in grants)
    assert last - first >= (31 - 2) / 20 - 0.1
    assert most_in_any_window([(at, 1) for at, _ in grants], 0.5) <= 10 + 2 + 4 + 3
    assert most_in_any_window([(at, n) for at, n in grants], 0.5) <= 100 + 30 + 70


def test_who_cannot_have_it_in_time_is_told_at_once() -> None:
    budget.shared.park(40)
    with (
        pytest.raises(BudgetExhausted, match="budget shared") as raised,
        budget.shared.acquire(cost=30, timeout=0.01),
    ):
        pass
    assert 10 < raised.value.retry_after <= 40.1
    assert isinstance(raised.value, TimeoutError)


def test_who_can_wait_has_it_when_its_tokens_are_there() -> None:
    began = time.monotonic()
    for _ in range(3):
        with budget.shared.acquire(cost=30, timeout=60):
            pass
    assert time.monotonic() - began >= 2 * 0.14, "200 a second, 30 at once"


def test_who_waits_asks_no_more_often_than_it_has_to(room: Room) -> None:
    """It is told for how long, and waits so long."""
    budget.shared.park(0.3)
    room.redis.config_resetstat()
    with budget.shared.acquire(cost=1):
        pass
    assert room.redis.info("commandstats")["cmdstat_evalsha"]["calls"] <= 4


def test_one_that_was_refused_parks_it_for_all_types_and_pays_no_attempt(
    start: Start, journal: Journal, room: Room
) -> None:
    start("budget", processes=2)
    budget.beside.delay().get(timeout=60)
    refused = budget.refused_once.delay(1.0)
    refused_at = when_parked(room, "refusing! ", journal, refused.id)
    called_at = time.monotonic()
    others = [budget.beside.delay() for _ in range(5)]
    with budget.refusing.acquire():
        assert time.monotonic() - refused_at >= 0.99
    refused.get(timeout=60)
    for other in others:
        other.get(timeout=60)
    assert [line.attempt for line in journal.starts(refused.id)] == [1, 1]
    later = [line.at for other in others for line in journal.starts(other.id)]
    assert called_at - refused_at > 0.95 or min(later) - refused_at >= 0.99, "they waited, if they came in time"


def test_of_one_key_only_that_is_parked(start: Start, journal: Journal, room: Room) -> None:
    start("budget", processes=1)
    refused = budget.per_key.delay("a", 30.0)
    when_parked(room, "keyed! a", journal, refused.id)
    budget.per_key.delay("b").get(timeout=60)
    same = budget.per_key.delay("a")
    budget.per_key.delay("b").get(timeout=60)
    assert same.status() == "queued"
    assert same.cancel()
    assert refused.cancel()
