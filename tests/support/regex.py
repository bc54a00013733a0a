"""A match that keeps the interpreter for as long as a test wants."""

from __future__ import annotations

import re
import time


def stuck_for(seconds: float) -> int:
    """A size with which a hopeless match takes about this long on this machine: each letter doubles it."""
    size = 14
    while True:
        began = time.process_time()
        re.match(r"(a+)+$", "a" * size + "b")
        took = time.process_time() - began
        if took > 0.05:
            while took < seconds:
                size, took = size + 1, took * 2
            return size
        size += 1
