"""Waiting for something to become true: the only way in which tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


MOST_PAUSE_S = 0.02


def eventually(condition: Callable[[], T], what: str, within: float = 15.0, every: float = 0.005) -> T:
    """The first true value of `condition`; fails with `what` when there is none within `within` seconds.

    It looks every 5 ms, and less often when that has been in vain for long: looking takes processor time from others.
    """
    give_up, most = time.monotonic() + within, max(every, MOST_PAUSE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {within:g} s: {what} (last: {value!r})")
        time.sleep(every)
        every = min(1.1 * every, most)
