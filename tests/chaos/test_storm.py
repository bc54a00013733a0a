"""A short storm; and the judgement of its evidence, which must notice what is wrong."""

from __future__ import annotations

import pytest

from tests.chaos.evidence import Call, Ending, Evidence, Fault, Run, judge
from tests.chaos.storm import Storm


def test_a_short_storm_is_clean() -> None:
    account = Storm(seed=7, seconds=8.0, hosts=2, rate=60.0).run()
    assert account.problems() == [], account
    assert account.acknowledged > 100
    assert len(account.faults) >= 5


CALL = Call("p-1", "noop", 1.0, 0.0, "a")
ONCE = Run("a", "p-1", "h0", 1, 1, 5, 100, 2.0, 3.0)
AGAIN = Run("a", "p-1", "h1", 1, 1, 6, 200, 4.0, 5.0)
CUT_SHORT = Run("a", "p-1", "h0", 1, 1, 5, 100, 2.0)
KILL = Fault("kill host", 2.5, 2.6, "h0")
STOP = Fault("stop host for longer than a lease", 2.1, 9.0, "h0")
LATE = Run("a", "p-1", "h0", 1, 1, 5, 100, 2.0, 9.0)


def evidence(runs: list[Run], *faults: Fault, call: Call = CALL, ending: Ending | None) -> Evidence:
    return Evidence({call.label: call}, {"a": runs} if runs else {}, list(faults), {"a": ending} if ending else {})


@pytest.mark.parametrize(
    "clean",
    [
        evidence([ONCE], ending=Ending("completed", 5)),
        evidence([CUT_SHORT, AGAIN], KILL, ending=Ending("completed", 6)),
        evidence([LATE, AGAIN], STOP, ending=Ending("completed", 6)),
        evidence([], call=Call("p-1", "expiring", 1.0, 0.0, "a"), ending=Ending("expired")),
        evidence([ONCE], call=Call("p-1", "poison", 1.0, 0.0, "a"), ending=Ending("dead", None, 3)),
    ],
    ids=["one run", "killed", "stopped", "expired", "poison"],
)
def test_what_is_right_is_clean(clean: Evidence) -> None:
    assert judge(clean) == {}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (evidence([ONCE], ending=None), "lost"),
        (evidence([ONCE, AGAIN], ending=Ending("completed", 6)), "repeated without a fault"),
        (evidence([ONCE, AGAIN], Fault("kill host", 0.5, 0.6, "h0"), ending=Ending("completed", 6)), "repeated"),
        (evidence([ONCE, AGAIN], Fault("kill host", 2.5, 2.6, "h7"), ending=Ending("completed", 6)), "repeated"),
        (evidence([LATE, AGAIN], Fault("kill child", 3.5, 9.5, "h0"), ending=Ending("completed", 6)), "overlap"),
        (evidence([LATE, AGAIN], STOP, ending=Ending("completed", 5)), "ended otherwise"),
        (evidence([CUT_SHORT], ending=Ending("completed", 5)), "ended otherwise"),
        (evidence([ONCE], ending=Ending("expired")), "ended otherwise"),
        (evidence([ONCE], ending=Ending("dead", None, 1)), "ended otherwise"),
        (evidence([ONCE], call=Call("p-1", "delayed", 1.0, 4.0, "a"), ending=Ending("completed", 5)), "early"),
        (evidence([ONCE], call=Call("p-1", "poison", 1.0, 0.0, "a"), ending=Ending("dead", None, 4)), "ended"),
        (
            evidence([ONCE, AGAIN], Fault("term", 2.5, 2.6, "h0", is_harmless=True), ending=Ending("completed", 6)),
            "rep",
        ),
    ],
)
def test_what_is_wrong_is_noticed(wrong: Evidence, kind: str) -> None:
    found = judge(wrong)
    assert len(found) == 1, found
    assert next(iter(found)).startswith(kind)


def test_what_is_alive_is_stuck_and_two_endings_are_one_too_many() -> None:
    stuck = evidence([], ending=None)
    stuck.live = {"a"}
    assert list(judge(stuck)) == ["stuck"]
    twice = evidence([ONCE], ending=Ending("completed", 5))
    twice.twice = ["a"]
    assert list(judge(twice)) == ["ended twice"]


def two(gate: str, *runs: Run, acked_at: tuple[float, float] = (1.5, 1.6)) -> Evidence:
    """Two calls that are bounded by one gate, one before the other, and their runs."""
    calls = [
        Call(f"p-{n}", gate.partition(" ")[0], at, 0.0, id, gate=gate, acked_at=at + 0.1)
        for n, id, at in zip((1, 2), "ab", (acked_at[0] - 0.1, acked_at[1]), strict=True)
    ]
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.id, []).append(run)
    last = {id: max(run.fence for run in of_one) for id, of_one in found.items()}
    endings = {id: Ending("completed", fence) for id, fence in last.items()}
    return Evidence({call.label: call for call in calls}, found, [STOP], endings)


A = Run("a", "p-1", "h0", 1, 1, 5, 100, 2.0, 3.0)
A_AGAIN = Run("a", "p-1", "h1", 1, 1, 7, 200, 6.0, 6.5)
A_GOES_ON = Run("a", "p-1", "h0", 1, 1, 5, 100, 2.0, 9.0)
B = Run("b", "p-2", "h1", 1, 1, 6, 200, 4.0, 5.0)
B_EARLY = Run("b", "p-2", "h1", 1, 1, 6, 200, 2.5, 5.0)
B_LATE = Run("b", "p-2", "h1", 1, 1, 9, 200, 7.0, 8.0)


@pytest.mark.parametrize(
    "clean",
    [
        two("one_at_once k", A, B),
        two("few_at_once", A, B_EARLY),
        two("one_at_once k", A_GOES_ON, A_AGAIN, B_LATE),
        two("in_order k", A, B),
        two("in_order k", B, A_AGAIN, acked_at=(1.5, 1.4)),
        two("one_there k", A, B, acked_at=(1.5, 3.5)),
    ],
    ids=["in turn", "two may", "another has taken its place", "in order", "called at the same time", "over before"],
)
def test_limits_that_held_are_clean(clean: Evidence) -> None:
    assert judge(clean) == {}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (two("one_at_once k", A, B_EARLY), "too many at once"),
        (two("one_at_once k", A_GOES_ON, B), "too many at once"),
        (two("in_order k", A, A_AGAIN, B), "out of order"),
        (two("one_there k", A, B), "two of one name"),
    ],
    ids=["together", "although its host was lost", "before it ran again", "while it waits"],
)
def test_limits_that_did_not_hold_are_noticed(wrong: Evidence, kind: str) -> None:
    assert kind in judge(wrong)


def test_a_task_that_a_call_has_met_is_not_lost() -> None:
    met = two("one_there k", A, acked_at=(1.5, 1.6))
    del met.calls["p-2"]
    met.joined = {"p-3": "c"}
    assert list(judge(met)) == ["lost"]
