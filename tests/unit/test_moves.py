"""What a task that waits may be told: its form, and what the answers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from distq import ConfigurationError, NotWaiting, UnknownTask
from distq.broker.moves import REASONS, Change, change, check


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"delay": 0}, Change("delay", 0)),
        ({"delay": "5m"}, Change("delay", 300_000)),
        ({"delay": timedelta(hours=1), "priority": "high"}, Change("delay", 3_600_000, 2)),
        ({"eta": datetime(1970, 1, 2, tzinfo=UTC)}, Change("due", 86_400_000)),
        ({"priority": 0}, Change("", 0, 0)),
    ],
)
def test_a_change_is_what_is_said(said: dict[str, Any], meant: Change) -> None:
    assert change(**said) == meant


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "say what is to change"),
        ({"delay": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "twice"),
        ({"delay": -1}, "delay=-1 is no duration"),
        ({"eta": datetime(2030, 1, 1)}, "no time zone"),
        ({"eta": "tomorrow"}, "eta='tomorrow'"),
        ({"priority": "hihg"}, "did you mean `high`"),
    ],
)
def test_what_cannot_be_is_an_error_at_once(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        change(**said)


@pytest.mark.parametrize("word", REASONS)
def test_each_word_has_an_error_that_says_why(word: str) -> None:
    kinds = {"unknown": UnknownTask} | dict.fromkeys(("expires", "ordered", "taken", "bound"), ConfigurationError)
    with pytest.raises(kinds.get(word, NotWaiting), match="order-17"):
        check("order-17", word)
    check("order-17", "rescheduled")
