"""The arithmetic of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks.figure import percentile
from benchmarks.numbers import Spread, rate_of, scaled, short, spread


def test_a_spread_is_the_median_between_the_smallest_and_the_largest() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert spread([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([5.0], 0.99) == 5.0


@pytest.mark.parametrize(
    ("rate", "seconds", "number"),
    [
        (1234.0, 2.0, 2500),  # two digits
        (97_531.0, 1.0, 98_000),
        (12.0, 2.0, 24),
        (0.1, 1.0, 10),  # never fewer than the least
        (1e9, 1.0, 100_000),  # never more than the most
    ],
)
def test_a_measurement_takes_about_as_long_as_was_asked_whatever_the_rate(
    rate: float, seconds: float, number: int
) -> None:
    assert scaled(rate, seconds, 10, 100_000) == number


def test_a_rate_leaves_out_start_and_end() -> None:
    """Slow up to 10 of 100, then 10 per second up to 96, then nothing for long."""
    slow = [(float(number * 5), number) for number in range(10)]
    steady = [(50.0 + number / 10, 10 + number) for number in range(0, 88, 2)]
    tail = [(200.0, 99), (300.0, 100)]
    assert rate_of(slow + steady + tail, 100) == pytest.approx(10.0)


def test_a_rate_of_what_was_over_at_once_counts_from_the_sample_before() -> None:
    assert rate_of([(0.0, 0), (2.0, 100)], 100) == 50.0


def test_one_sample_is_no_rate() -> None:
    with pytest.raises(ValueError, match="one sample"):
        rate_of([(1.0, 100)], 100)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.256, "0.26"),
        (12.34, "12.3"),
        (99.96, "100.0"),
        (345.6, "346"),
        (1234.0, "1,230"),
        (98_765.0, "98,800"),
        (123_456.0, "123,000"),
    ],
)
def test_numbers_are_told_with_three_digits(value: float, text: str) -> None:
    assert short(value) == text
