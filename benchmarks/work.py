"""What the measured tasks do, and the bare loops beside them: the same functions for both."""

from __future__ import annotations

import time


def burn(seconds: float) -> None:
    """Uses the processor for so long; while it waits for a processor, that does not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        continue
