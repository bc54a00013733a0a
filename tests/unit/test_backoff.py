"""Delays between attempts: their numbers, their bounds, and what happens with nonsense."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.backoff import MAX_DELAY_S, Backoff, constant, delay_ms, exponential, linear, resolve
from distq.errors import ConfigurationError

DEFAULT = [200, 400, 800, 1600, 3200]


def delays(backoff: Backoff, attempts: int = 5) -> list[int]:
    return [delay_ms(backoff, attempt) for attempt in range(1, attempts + 1)]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("exponential", DEFAULT),
        ("linear", [1000, 2000, 3000, 4000, 5000]),
        ("constant", [1000] * 5),
        (0, [0] * 5),
        (2.5, [2500] * 5),
        (exponential(1, factor=3), [3000, 9000, 27000, 81000, 243000]),
        (exponential(1, cap=5), [2000, 4000, 5000, 5000, 5000]),
        (linear(2, cap=5), [2000, 4000, 5000, 5000, 5000]),
        (constant(7), [7000] * 5),
        (lambda attempt: attempt / 1000, [1, 2, 3, 4, 5]),
    ],
)
def test_delays(backoff: object, expected: list[int]) -> None:
    assert delays(resolve(backoff)) == expected


@pytest.mark.parametrize("attempt", [20, 1000, 100_000, 10**9])
def test_exponential_ends_at_an_hour(attempt: int) -> None:
    assert delay_ms(exponential(), attempt) == 3_600_000


@given(st.integers(1, 20), st.floats(0, 1))
def test_jitter_stays_within_its_part(attempt: int, part: float) -> None:
    middle = min(3600, 0.1 * 2**attempt)
    delay = exponential(jitter=part)(attempt)
    assert middle * (1 - part) - 1e-9 <= delay <= middle * (1 + part) + 1e-9


@given(st.integers(1, 20))
def test_full_jitter_is_a_part_of_the_delay(attempt: int) -> None:
    assert 0 <= exponential(jitter="full")(attempt) <= min(3600, 0.1 * 2**attempt)


@pytest.mark.parametrize("make", [exponential, linear, constant])
def test_jitter_spreads(make: Callable[..., Backoff]) -> None:
    backoff = make(jitter="full")
    assert len({backoff(5) for _ in range(50)}) > 40


def refuses(attempt: int) -> float:
    raise LookupError("no delay today")


@pytest.mark.parametrize(
    "broken",
    [
        refuses,
        lambda attempt: math.nan,
        lambda attempt: math.inf,
        lambda attempt: -1,
        lambda attempt: 10**400,
        lambda attempt: None,
        lambda attempt: "soon",
        lambda: 1,
    ],
)
def test_nonsense_counts_as_the_default(broken: Any) -> None:
    assert delays(broken) == DEFAULT


def test_no_delay_is_longer_than_a_month() -> None:
    assert delay_ms(lambda attempt: 1e18, 1) == MAX_DELAY_S * 1000


@pytest.mark.parametrize("value", ["", "5s", -1, math.nan, math.inf, MAX_DELAY_S + 1, True, None, [], int])
def test_no_backoff(value: object) -> None:
    with pytest.raises(ConfigurationError, match="give exponential, linear, constant, seconds, or a callable"):
        resolve(value)


def test_mistyped_name_gets_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="did you mean `exponential`"):
        resolve("exponental")


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential(0),
        lambda: exponential(math.nan),
        lambda: exponential(factor=0.5),
        lambda: exponential(cap=0),
        lambda: linear(-1),
        lambda: linear(cap=0),
        lambda: constant(-1),
        lambda: constant(math.nan),
        lambda: exponential(jitter=2),
        lambda: exponential(jitter="half"),
    ],
)
def test_wrong_numbers_are_refused_at_once(make: Callable[[], Backoff]) -> None:
    with pytest.raises(ConfigurationError):
        make()
