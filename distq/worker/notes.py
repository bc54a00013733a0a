"""What handlers log, on the status board, where it outlives a process that is killed without warning.

Per thread of the worker there is room for the last lines of what it runs. A task that logs nothing costs nothing: the
room says whose lines it holds, and they are left there.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from typing import Any

from distq.context import CURRENT, TASK, TRACE, TYPE
from distq.outcome import shown
from distq.worker.board import LOG_BYTES, LOG_HEAD, Slot

MOST_OF_A_LINE = 500
"""Bytes."""

SEAT: ContextVar[int] = ContextVar("distq.seat", default=0)
"""Which of the worker's threads this is."""


MOST_LINES = 20
"""Of them so many are kept with an attempt."""


def last_lines(raw: bytes) -> str:
    """Of what is in the room of a thread."""
    return "\n".join(raw.decode("utf-8", "replace").splitlines()[-MOST_LINES:])


def stay_audible() -> None:
    """`logging.config` silences all loggers that are there already, if it is not told otherwise. Whoever means distq's
    sets their level."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] == "distq" and isinstance(logger, logging.Logger):
            logger.disabled = False


class Notes:
    """Writes log lines to a slot of the board."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def keep(self, seat: int, line: str) -> None:
        """Adds a line to what this seat has said about the task that it runs; the oldest lines make room."""
        room, since = self._slot.log(seat), self._slot.since[seat]
        whose, end = LOG_HEAD.unpack_from(room)
        start = LOG_HEAD.size
        raw = line.encode("utf-8", "replace").replace(b"\n", b" ")[:MOST_OF_A_LINE] + b"\n"
        if whose != since:
            end = 0
        elif end + len(raw) > LOG_BYTES:
            rest = bytes(room[start : start + end])[len(raw) + LOG_BYTES // 8 :].partition(b"\n")[2]
            end = len(rest)
            room[start : start + end] = rest
        room[start + end : start + end + len(raw)] = raw
        LOG_HEAD.pack_into(room, 0, since, end + len(raw))

    def record(self, record: logging.LogRecord) -> None:
        """One line about a record of `logging`."""
        try:
            text = record.getMessage()
        except Exception:
            text = shown(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        why = f" ({type(error).__name__}: {shown(error)})" if error is not None else ""
        self.keep(SEAT.get(), f"{at} {record.levelname} {record.name}: {text}{why}")


def keep_what_is_logged(slot: Slot) -> None:
    """From now on, whatever a handler says through `logging`, to any logger that is enabled for it, is noted, and says
    of which task it is.

    It sees records when they are made: a handler at the root logger would keep `logging.basicConfig()` from working.
    """
    make, notes = logging.getLogRecordFactory(), Notes(slot)

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        context = CURRENT.get()
        if context is not None and not record.name.startswith("distq."):
            setattr(record, TASK, context.id)
            setattr(record, TYPE, context.type)
            setattr(record, TRACE, context.correlation_id)
            try:
                notes.record(record)
            except Exception:  # nobody's log may fail for it
                return record
        return record

    logging.setLogRecordFactory(made)
