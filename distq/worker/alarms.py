"""Timers that one handler leaves behind, and that would end the process while it runs the task of another."""

from __future__ import annotations

import logging
import signal
from types import FrameType

logger = logging.getLogger("distq.worker")

TIMERS = {
    signal.SIGALRM: signal.ITIMER_REAL,
    signal.SIGVTALRM: signal.ITIMER_VIRTUAL,
    signal.SIGPROF: signal.ITIMER_PROF,
}


def survive_alarms() -> None:
    """Disarms the timer whose signal nobody handles. Who wants it has a handler of his own, and keeps it."""
    for number in TIMERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _disarm)


def _disarm(number: int, frame: FrameType | None) -> None:
    which = signal.Signals(number)
    signal.setitimer(TIMERS[which], 0)
    logger.warning("%s came, and nobody handles it: a handler has left its timer behind; it is disarmed", which.name)
