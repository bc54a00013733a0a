"""Durations as people write them, and as people read them."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.durations import format_duration, seconds
from distq.errors import ConfigurationError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0),
        (5, 5),
        (1.5, 1.5),
        ("10", 10),
        ("10s", 10),
        ("1.5m", 90),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("500ms", 0.5),
        (" 3 s", 3),
        (timedelta(minutes=1, microseconds=1), 60.000001),
        (timedelta.max, timedelta.max.total_seconds()),
    ],
)
def test_seconds(given: object, expected: float) -> None:
    assert seconds(given, "delay") == expected


@pytest.mark.parametrize(
    "value",
    [
        -1, -0.1, timedelta(-1), math.nan, math.inf, 10**400, "9" * 400 + "d", "", "s", "-5s", "5 min", "1h30m", "1e3",
        "5s\n5s", "0x10", True, None, b"5s", [5],
    ],
)  # fmt: skip
def test_no_duration(value: object) -> None:
    with pytest.raises(
        ConfigurationError, match=r"delay=.* is no duration: give seconds, a timedelta, or text such as"
    ):
        seconds(value, "delay")


def test_what_was_given_is_shown_but_bounded() -> None:
    with pytest.raises(ConfigurationError) as caught:
        seconds("x" * 10_000, "expires")
    assert str(caught.value).startswith("expires='xxx")
    assert len(str(caught.value)) < 250


@given(st.floats(0, 1e9), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_text_means_number_times_unit(number: float, unit: str) -> None:
    size = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert seconds(f"{number:.6f}{unit}", "delay") == pytest.approx(float(f"{number:.6f}") * size)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.00123, "1.2 ms"),
        (0.35, "350 ms"),
        (1, "1 s"),
        (2.4, "2.4 s"),
        (59, "59 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86399.9, "1 d"),
        (2 * 86400 + 4 * 3600 + 59 * 60, "2 d 4 h"),
    ],
)
def test_format(value: float, text: str) -> None:
    assert format_duration(value) == text


@given(st.floats(0, 1e12))
def test_every_duration_has_a_short_text(value: float) -> None:
    assert 2 < len(format_duration(value)) < 20
