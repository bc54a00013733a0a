"""Weights of priorities as they are declared."""

from __future__ import annotations

import re
from typing import Any

import pytest

from distq import ConfigurationError, Distq
from distq.weights import shown


def test_a_queue_without_weights_is_strict() -> None:
    app = Distq("shop", "redis://nowhere")
    app.queue("mail", weights={"low": 1, "high": 8, "default": 3})
    assert [app.weights_of(queue) for queue in ("default", "mail", "other")] == ["strict", "8 3 1", ""]
    assert shown("8 3 1") == "high 8, default 3, low 1"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([8, 3, 1], "weights=[8, 3, 1]: say how the priorities share it, such as {"),
        ({"high": 8, "low": 1}, "weights={'high': 8, 'low': 1}: say also what default gets"),
        ({"hihg": 8}, "weights: 'hihg' is none of high, default, low (did you mean `high`?)"),
        ({2: 8}, "weights: 2 is none of high, default, low"),
        (
            {"high": 8, "default": 3, "low": 0},
            "weights: low is 0: give a whole number from 1 to 1,000; with 0 it would",
        ),
        ({"high": 8, "default": 3, "low": True}, "weights: low is True: give a whole number"),
        ({"high": 1001, "default": 3, "low": 1}, "weights: high is 1001: give a whole number from 1 to 1,000"),
        ({"high": 1.5, "default": 3, "low": 1}, "weights: high is 1.5: give a whole number"),
    ],
    ids=str,
)
def test_what_cannot_be(weights: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Distq("shop", "redis://nowhere").queue("default", weights=weights)
