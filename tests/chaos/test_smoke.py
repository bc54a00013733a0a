"""The smoke test of `make chaos`, with fewer tasks; and its account, which must notice what is wrong."""

from __future__ import annotations

import pytest

from tests.chaos.smoke import PORTIONS, Account, Run, Way, smoke


def test_nothing_is_lost_and_each_extra_run_has_its_kill() -> None:
    account = smoke(1500, "kill")
    assert account.problems() == [], account
    assert account.faults >= 3


@pytest.mark.parametrize("way", ["kill", "term"])
def test_the_same_with_tasks_that_come_in_batches(way: Way) -> None:
    account = smoke(30_000, way, seconds=0)
    assert account.problems() == [], account
    assert account.faults + account.terms >= PORTIONS


@pytest.mark.parametrize("way", ["kill", "term"])
def test_the_same_with_several_threads(way: Way) -> None:
    account = smoke(4000, way, seconds=0.02, threads=8)
    assert account.problems() == [], account
    assert account.faults + account.terms >= 2


def test_ending_hosts_costs_neither_a_task_nor_a_second_run() -> None:
    account = smoke(1500, "term")
    assert account.problems() == [], account
    assert account.terms >= 2


def account(way: Way, *runs: Run, completed: int = 1, killed: dict[int, tuple[float, float]] | None = None) -> Account:
    return Account(way, 1, 1.0, killed=killed or {}, faults=1, runs={"a": list(runs)}, completed=completed)


def test_one_run_is_clean() -> None:
    assert account("term", Run("a", 1, 1.0, 2.0)).problems() == []


@pytest.mark.parametrize(
    "wrong",
    [
        account("kill", Run("a", 1, 1.0, 2.0), completed=0),
        account("kill", Run("a", 1, 1.0)),
        account("kill", Run("a", 1, 1.0, 2.0), Run("a", 2, 3.0, 4.0)),
        account("kill", Run("a", 1, 1.0, 2.0), Run("a", 2, 3.0, 4.0), killed={1: (0.5, 0.5)}),
        account("kill", Run("a", 1, 1.0), Run("a", 2, 3.0, 4.0), killed={1: (3.5, 3.5)}),
        account("term", Run("a", 1, 1.0, 2.0), Run("a", 2, 3.0, 4.0), killed={1: (2.5, 2.5)}),
        Account("kill", 1, 1.0, runs={"a": [Run("a", 1, 1.0, 2.0)]}, completed=1),
    ],
    ids=["not completed", "lost", "no kill", "killed before", "overlap", "second run", "no fault"],
)
def test_what_is_wrong_is_noticed(wrong: Account) -> None:
    assert len(wrong.problems()) == 1, wrong.problems()


def test_a_second_run_after_a_kill_is_explained() -> None:
    assert account("kill", Run("a", 1, 1.0), Run("a", 2, 3.0, 4.0), killed={1: (2.0, 2.0)}).problems() == []
