"""Waiting for something to become true: the only way in which tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, within: float = 15.0, every: float = 0.005) -> T:
    """The first true value of `condition`; fails with `what` when there is none within `within` seconds."""
    give_up = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {within:g} s: {what} (last: {value!r})")
        time.sleep(every)
