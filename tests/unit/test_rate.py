"""Rates, and the limiter against the plainest token bucket that there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.errors import ConfigurationError
from distq.rate import Rate, grant


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, 1_000, 1)),
        ("0.5/s", Rate(0.5, 1_000, 1)),
        ("100/m", Rate(100, 60_000, 1)),
        ("100/m burst 20", Rate(100, 60_000, 20)),
        ("5/h burst 5", Rate(5, 3_600_000, 5)),
        ("1/d", Rate(1, 86_400_000, 1)),
        (" 10 / s  burst  3 ", Rate(10, 1_000, 3)),
        ("290/s", Rate(290, 1_000, 29)),
        ("1000/s", Rate(1000, 1_000, 100)),
        ("1000000000/s", Rate(1e9, 1_000, 1_000_000)),
    ],
)
def test_parse(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@given(st.integers(1, 10_000_000))
def test_default_burst_is_a_tenth_of_a_second(count: int) -> None:
    assert Rate.parse(f"{count}/s").burst == max(1, count // 10)


@pytest.mark.parametrize(
    "text",
    ["", "10", "10/", "/s", "10/w", "0/s", "-1/s", "10/s burst", "10/s burst -1", "10 per s", "1e3/s", "9999999999/s"],
)
def test_no_rate(text: str) -> None:
    with pytest.raises(ConfigurationError, match='is no rate: give a number per s, m, h or d, such as "10/s"'):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["10/s burst 0", "10/s burst 1000001"])
def test_burst_out_of_bounds(text: str) -> None:
    with pytest.raises(ConfigurationError, match="a burst is at least 1 and at most 1000000"):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["10/s burst 1", "0.5/m burst 20", "1234567/h burst 34", "100/d burst 1"])
def test_text_of_a_rate_can_be_parsed(text: str) -> None:
    assert str(Rate.parse(text)) == text


# -- the limiter -----------------------------------------------------------------------------------------------------


class Bucket:
    """The naive limiter: a bucket of tokens that fills with time."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at_us = rate, float(rate.burst), 0.0

    def take(self, now_us: float, wanted: int) -> int:
        self.tokens = min(self.rate.burst, self.tokens + (now_us - self.at_us) / self.rate.interval_us)
        self.at_us = now_us
        taken = min(wanted, int(self.tokens + 1e-6))
        self.tokens -= taken
        return taken


rates = st.builds(Rate, st.integers(1, 1000), st.sampled_from([1_000, 60_000]), st.integers(1, 50))
wishes = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 60)), max_size=40)
"""Pauses in microseconds, each followed by a number of tokens that is wished for."""


@given(rates, wishes)
def test_it_equals_a_token_bucket(rate: Rate, wishes: list[tuple[int, int]]) -> None:
    bucket, tat, now = Bucket(rate), 0.0, 0
    for pause, wanted in wishes:
        now += pause
        granted, tat, _ = grant(rate, tat, now, wanted)
        assert granted == bucket.take(now, wanted)


@given(rates, wishes)
def test_no_window_has_more_than_burst_and_what_flows_in(rate: Rate, wishes: list[tuple[int, int]]) -> None:
    tat, now = 0.0, 1_700_000_000_000_000
    starts: list[tuple[int, int]] = []
    for pause, wanted in wishes:
        now += pause
        granted, tat, _ = grant(rate, tat, now, wanted)
        starts.append((now, granted))
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            granted = sum(number for _, number in starts[first : last + 1])
            assert granted <= rate.burst + (starts[last][0] - starts[first][0]) / rate.interval_us + 1e-3


@given(rates, wishes)
def test_who_comes_at_the_next_token_gets_one(rate: Rate, wishes: list[tuple[int, int]]) -> None:
    tat, now = 0.0, 0.0
    for pause, wanted in wishes:
        now += pause
        _, tat, next_us = grant(rate, tat, now, wanted)
        assert grant(rate, tat, max(now, next_us), 1).granted == 1


@given(rates, wishes)
def test_nobody_gets_one_before_the_next_token(rate: Rate, wishes: list[tuple[int, int]]) -> None:
    tat, now = 0.0, 0.0
    for pause, wanted in wishes:
        now += pause
        _, tat, next_us = grant(rate, tat, now, wanted)
        if next_us - 1 >= now:
            assert grant(rate, tat, next_us - 1, 1).granted == 0


@given(rates)
def test_steady_wishes_get_the_whole_rate(rate: Rate) -> None:
    """Polling at each next token, n intervals bring n tokens: nothing of the rate is lost."""
    tat, now, total = 0.0, 0.0, 0
    for _ in range(100):
        granted, tat, next_us = grant(rate, tat, now, 1)
        total += granted
        now = max(now, next_us)
    assert total == 100
    assert now == pytest.approx(max(0, 100 - rate.burst + 1) * rate.interval_us, abs=1)


def test_a_refusal_changes_nothing() -> None:
    rate = Rate.parse("1/s burst 1")
    _, tat, _ = grant(rate, 0, 0, 1)
    assert grant(rate, tat, 500_000, 5) == (0, tat, 1_000_000)


def test_wanting_none_takes_none() -> None:
    assert grant(Rate.parse("1/s burst 3"), 0, 0, 0).granted == 0
