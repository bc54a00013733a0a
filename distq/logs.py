"""Logging of the doors: one handler on the logger `distq`. The root logger belongs to the user."""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
import time
from typing import Literal, cast

from distq.context import TASK, TYPE
from distq.errors import ConfigurationError, did_you_mean

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")

PATIENCE_S = 0.2
"""So long a line waits for somebody who reads, in all; while nobody does, those behind it do not wait."""


def configure(level: str, format: str) -> None:
    """Writes the loggers `distq.*` to standard error, as text or as JSON (extra `json`)."""
    name = check_level(level)
    if format not in FORMATS:
        raise ConfigurationError(f"--log-format {format}: give text or json{did_you_mean(format, FORMATS)}")
    handler = _to_standard_error()
    handler.setFormatter(formatter(cast("Literal['text', 'json']", format)))
    logger = logging.getLogger("distq")
    logger.handlers[:] = [handler]
    logger.setLevel(name)
    logger.propagate = False


def formatter(format: Literal["text", "json"] = "text") -> logging.Formatter:
    """The form of distq's own lines, for handlers of yours: text, or JSON (extra `json`). With the id of the task that
    says something."""
    return _json_formatter() if format == "json" else _Text()


def _to_standard_error() -> logging.Handler:
    try:
        return _Unhurried(sys.stderr.fileno(), sys.stderr.encoding)
    except (OSError, ValueError, AttributeError):  # something that a program has put in its place
        return logging.StreamHandler(sys.stderr)


class _Unhurried(logging.Handler):
    """Writes to a file that may be a pipe which nobody reads: that must not stop a supervisor, nor a worker.

    What finds no room within a moment is dropped and counted; the next line that finds some is preceded by the number.
    """

    def __init__(self, number: int, encoding: str) -> None:
        super().__init__()
        self._number, self._encoding = _own(number), encoding
        self._dropped = 0
        self._is_torn = False
        """Whether the last line was dropped in the middle."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line, or several with a traceback."""
        try:
            lines = [self.format(record)]
            if self._dropped:
                lines.insert(0, self.format(self._confession()))
            text = ("\n" if self._is_torn else "") + "\n".join(lines) + "\n"
            self._write(text.encode(self._encoding, "backslashreplace"))
        except Exception:
            self.handleError(record)

    def _confession(self) -> logging.LogRecord:
        text = "nobody read this log: %d messages were dropped"
        return logging.LogRecord("distq", logging.WARNING, "", 0, text, (self._dropped,), None)

    def _write(self, data: bytes) -> None:
        until = time.monotonic() + (0.0 if self._dropped else PATIENCE_S)
        written = 0
        while written < len(data) and self._has_room(max(0.0, until - time.monotonic())):
            try:
                written += os.write(self._number, data[written : written + select.PIPE_BUF])
            except BlockingIOError:  # another process was quicker
                if time.monotonic() >= until:
                    break
            except OSError:  # whoever read it is gone
                break
        if written:
            self._is_torn = written < len(data)
        self._dropped = 0 if written == len(data) else self._dropped + 1

    def _has_room(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._number, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))


def _own(number: int) -> int:
    """A pipe or terminal, opened once more: not to wait for it is then no affair of others that write to it."""
    mode = os.fstat(number).st_mode
    if sys.platform == "linux" and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        try:
            return os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return number
    return number


def check_level(level: str) -> str:
    """The name of a level, if it is one."""
    name = level.upper()
    if name not in LEVELS:
        raise ConfigurationError(f"--log-level {level}: give one of {', '.join(LEVELS)}{did_you_mean(name, LEVELS)}")
    return name


def one_line(text: str) -> str:
    """Text without anything that moves a cursor, colours or reorders: white space becomes a space, the rest `\\x1b`.

    What tasks say may come from anybody. A line feed in it must not look like a line of our own.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text)


class _Text(logging.Formatter):
    """One line for people; a traceback below it stays as it is."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        id = getattr(record, TASK, "")
        return one_line(super().formatMessage(record) + (f" [{id}]" if id else ""))


def _json_formatter() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 (extra `json`)
    except ImportError:
        raise ConfigurationError("--log-format json needs the extra: pip install 'distq[json]'") from None
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={
            "asctime": "time",
            "levelname": "level",
            "name": "logger",
            TASK: "task_id",
            TYPE: "task_type",
        },
    )
