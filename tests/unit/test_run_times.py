"""What counts in buckets say of how long attempts took."""

from __future__ import annotations

import pytest

from distq.run_times import BUCKETS, RunTimes


def taken(*seconds: float) -> RunTimes:
    buckets = [0] * (len(BUCKETS) + 1)
    for one in seconds:
        buckets[sum(bound < one for bound in BUCKETS)] += 1
    return RunTimes((len(seconds), 0, 0), tuple(buckets), sum(seconds))


@pytest.mark.parametrize("part", [0.01, 0.5, 0.95, 0.99, 1.0])
def test_a_percentile_is_in_the_bucket_of_the_attempt_that_it_names(part: float) -> None:
    seconds = sorted([0.001] * 40 + [0.02] * 30 + [0.3] * 25 + [7.0] * 5)
    exact = seconds[max(0, round(part * len(seconds)) - 1)]
    upper = next(bound for bound in BUCKETS if bound >= exact)
    lower = max([0.0, *(bound for bound in BUCKETS if bound < exact)])
    found = taken(*seconds).quantile(part)
    assert found is not None
    assert lower <= found <= upper


def test_of_none_nothing_is_said_and_of_long_ones_that_they_were_long() -> None:
    assert (RunTimes().quantile(0.5), RunTimes().mean_s, RunTimes().number) == (None, None, 0)
    assert taken(5000.0).quantile(0.5) == BUCKETS[-1]
    assert taken(5000.0).mean_s == 5000.0


def test_what_was_told_can_be_taken_away_again() -> None:
    before, after = taken(1.0), taken(1.0, 2.0)
    assert after.plus(before, -1) == taken(2.0)
    assert before.plus(taken(2.0)) == after
