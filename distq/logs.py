"""Logging of the doors: one handler on the logger `distq`. The root logger belongs to the user.

In a worker, what is said of ended attempts is noted on the status board, and written before the broker is told.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Literal, cast

from distq.context import TASK, TRACE, TYPE, Context
from distq.errors import ConfigurationError, did_you_mean
from distq.message import NOTED, attempt_of
from distq.middleware.logging import ENDED, scribes
from distq.middleware.logging import logger as of_attempts

if TYPE_CHECKING:
    from distq.task import Task
    from distq.worker.board import Slot
    from distq.worker.lines import Lines

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")

PATIENCE_S = 0.2
"""So long a line waits for somebody who reads, in all; while nobody does, those behind it do not wait."""

PLAIN = bytes(set(range(0x21, 0x7F)) - set(b'"\\'))
"""Characters that no form writes in another way."""


def configure(level: str, format: str) -> None:
    """Writes the loggers `distq.*` to standard error, as text or as JSON (extra `json`)."""
    name = check_level(level)
    if format not in FORMATS:
        raise ConfigurationError(f"--log-format {format}: give text or json{did_you_mean(format, FORMATS)}")
    handler = _to_standard_error(formatter(cast("Literal['text', 'json']", format)))
    logger = logging.getLogger("distq")
    logger.handlers[:] = [handler]
    logger.setLevel(name)
    logger.propagate = False


def formatter(format: Literal["text", "json"] = "text") -> logging.Formatter:
    """The form of distq's own lines, for handlers of yours: text, or JSON (extra `json`). With the id of the task that
    says something."""
    return _json_formatter() if format == "json" else _Text()


def note_lines(slot: Slot) -> None:
    """From now on this process, a worker, notes lines about attempts here."""
    for handler in logging.getLogger("distq").handlers:
        if isinstance(handler, _Unhurried):
            handler.note_in(slot.lines)


def write_lines(slot: Slot) -> None:
    """Writes what is noted here. Its worker calls this, or its supervisor."""
    lines = slot.lines.take()
    for handler in logging.getLogger("distq").handlers if lines else ():
        if isinstance(handler, _Unhurried):
            handler.write(lines)


def _to_standard_error(form: logging.Formatter) -> logging.Handler:
    try:
        return _Unhurried(sys.stderr.fileno(), sys.stderr.encoding, form)
    except (OSError, ValueError, AttributeError):  # something that a program has put in its place
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(form)
        return handler


class _Unhurried(logging.Handler):
    """Writes to a file that may be a pipe which nobody reads: that must not stop a supervisor, nor a worker.

    What finds no room within a moment is dropped and counted; the next line that finds some is preceded by the number.
    """

    def __init__(self, number: int, encoding: str, form: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(form)
        self._number, self._encoding = _own(number), encoding
        self._is_file = stat.S_ISREG(os.fstat(number).st_mode)
        """Then what is written at once stays together."""
        self._blocks = not self._is_file and os.get_blocking(self._number)
        """Whether to write would wait for room."""
        self._lines: Lines | None = None
        """Where those about attempts are noted."""
        self._note: Callable[[bytes], bytes] = bytes
        self._form = form
        self._completed: Callable[[bytes, Context, float], bytes] = cast("Any", form).completed
        """What one of ours can do without records."""
        self._dropped = 0
        self._is_torn = False
        """Whether the last line was dropped in the middle."""

    def note_in(self, lines: Lines) -> None:
        """This process is the worker whose lines these are."""
        self._lines, self._note = lines, lines.note
        is_ours = self.formatter is self._form and not self.filters and self.level == logging.NOTSET
        if is_ours and logging.getLogRecordFactory() is logging.LogRecord:
            scribes[0] = self

    def setFormatter(self, form: logging.Formatter | None) -> None:
        """Somebody wants to see records; likewise below."""
        scribes[0] = None
        super().setFormatter(form)

    def addFilter(self, filter: Any) -> None:
        scribes[0] = None
        super().addFilter(filter)

    def setLevel(self, level: int | str) -> None:
        scribes[0] = None
        super().setLevel(level)

    def completed(self, context: Context, seconds: float) -> bool:
        """See `Scribe`."""
        id = context.entry
        if id.translate(None, PLAIN):
            id = id.partition(b" ")[0]
            if id.translate(None, PLAIN):
                return False
        rest = self._note(self._completed(id, context, seconds))
        if rest:
            self.write(rest)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """One line, or several with a traceback. Those about attempts stay in front of others."""
        try:
            line = self.format(record) + "\n"
            if self._lines is None:
                self.write(self._encoded(line))
            elif record.name == of_attempts.name:
                rest = self._note(self._encoded(line))
                if rest:
                    self.write(rest)
            else:
                self.write(self._lines.take() + self._encoded(line))
        except Exception:
            self.handleError(record)

    def write(self, data: bytes) -> None:
        """Whole lines."""
        self.acquire()
        try:
            front = b"\n" if self._is_torn else b""
            if self._dropped:
                front += self._encoded(f"{self.format(self._confession())}\n")
            self._write(front, data)
        finally:
            self.release()

    def _encoded(self, line: str) -> bytes:
        return line.encode(self._encoding, "backslashreplace")

    def _confession(self) -> logging.LogRecord:
        text = "nobody read this log: %d lines were dropped"
        return logging.LogRecord("distq", logging.WARNING, "", 0, text, (self._dropped,), None)

    def _write(self, front: bytes, lines: bytes) -> None:
        until = time.monotonic() + (0.0 if self._dropped else PATIENCE_S)
        data, at, is_full = front + lines, 0, self._blocks
        while at < len(data) and not (is_full and not self._has_room(max(0.0, until - time.monotonic()))):
            try:
                at += os.write(self._number, data[at:] if self._is_file else data[at : _end(data, at)])
                is_full = self._blocks
            except BlockingIOError:
                if is_full and time.monotonic() >= until:  # there was room, and another process was quicker
                    break
                is_full = True
            except OSError:  # whoever read it is gone
                break
        if at:
            self._is_torn = not data.endswith(b"\n", 0, at)
        known = self._dropped if at < len(front) else 0
        self._dropped = known + data.count(b"\n", max(at, len(front)))

    def _has_room(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._number, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))


def _end(data: bytes, at: int) -> int:
    """How far it can be written at once, so that no other process writes in between: as many whole lines as go."""
    end = at + select.PIPE_BUF
    return end if end >= len(data) else data.rfind(b"\n", at, end) + 1 or end


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


_Parts = tuple[int, str, int, bytes, bytes, bytes]
"""Millisecond, queue and attempts before, and what is the same in all lines about these."""
NO_START = (0, b"")


class _Clock:
    """When something was said. What is the same for a millisecond, or a second, is worked out once."""

    def __init__(self, form: str, convert: Any) -> None:
        self._form, self._convert = form, convert
        self._known, self._second = (-1, b""), (-1, b"")

    def __call__(self, at_ms: int) -> bytes:
        known = self._known
        if known[0] != at_ms:
            second, ms = divmod(at_ms, 1000)
            its = self._second
            if its[0] != second:
                its = self._second = second, time.strftime(self._form, self._convert(second)).encode()
            known = self._known = at_ms, its[1] % ms
        return known[1]


class _Text(logging.Formatter):
    """One line for people; a traceback below it stays as it is."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s")
        self._clock = _Clock("%Y-%m-%d %H:%M:%S,%%03d", time.localtime)
        self._starts: dict[str, tuple[int, bytes]] = {}
        """By type, those of the last millisecond."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return self._clock(int(record.created * 1000)).decode()

    def formatMessage(self, record: logging.LogRecord) -> str:
        said, text = record.__dict__, super().formatMessage(record)
        if said.get("event") == ENDED and record.name == of_attempts.name:
            text += f" [attempt {said['attempt']}, {said['duration_ms'] / 1000:.3f} s]"
        elif TASK in said:
            text += f" [{said[TASK]}]"
        return one_line(text)

    def completed(self, id: bytes, context: Context, seconds: float) -> bytes:
        """The line that the record of a success would have become, with an id that stands in it as it is."""
        now_ms, type = int(time.time() * 1000), context.task.type
        at_ms, start = self._starts.get(type, NO_START)
        if at_ms != now_ms:
            start = self._clock(now_ms) + f" INFO    {os.getpid()} distq.task: {type} ".encode()
            self._starts[type] = now_ms, start
        return b"%b%b completed [attempt %d, %.3f s]\n" % (start, id, attempt_of(context.raw) + 1, seconds)


def _json_formatter() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 (extra `json`)
    except ImportError:
        raise ConfigurationError("--log-format json needs the extra: pip install 'distq[json]'") from None

    class Json(JsonFormatter):
        """One object a line, for machines."""

        _clock = _Clock("%Y-%m-%dT%H:%M:%S.%%03dZ", time.gmtime)
        _parts: dict[Task[Any, Any, Any], _Parts] = {}  # noqa: RUF012 (there is one of it)

        def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
            return self._clock(int(record.created * 1000)).decode()

        def completed(self, id: bytes, context: Context, seconds: float) -> bytes:
            """The same for JSON."""
            task = context.task
            created_ms, attempts = NOTED.unpack_from(context.raw)
            now_ms, ms = time.time() * 1000, seconds * 1000
            at_ms, its_queue, its_attempts, a, b, c = self._parts.get(task, NO_PARTS)
            if at_ms != int(now_ms) or its_queue != context.queue or its_attempts != attempts:
                parts = _parts(context, attempts + 1, self._clock(int(now_ms)))
                _, _, _, a, b, c = self._parts[task] = int(now_ms), context.queue, attempts, *parts
            trace = quoted(context.correlation_id)[1:-1].encode() if context.headers else id
            waited_ms = now_ms - ms - created_ms
            took = _TOOK % (ms, waited_ms if waited_ms > 0 else 0.0)
            return b"".join((a, id, b, id, c, trace, took))

    return Json(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={
            "asctime": "time",
            "levelname": "level",
            "name": "logger",
            TASK: "task_id",
            TYPE: "type",
            TRACE: "correlation_id",
        },
    )


_TOOK = b'", "outcome": "completed", "duration_ms": %.3f, "wait_ms": %.3f, "error": null}\n'
NO_PARTS: _Parts = (0, "", 0, b"", b"", b"")


def _parts(context: Context, attempt: int, now: bytes) -> tuple[bytes, bytes, bytes]:
    """What is the same in the lines of a millisecond about successes of a type, between id, id and correlation id."""
    type, queue, worker = context.type, context.queue, context.worker
    return (
        b'{"time": "%b", "level": "INFO", "logger": "distq.task", ' % now
        + f'"process": {os.getpid()}, "message": "{type} '.encode(),
        b' completed", "event": "attempt.ended", "task_id": "',
        f'", "type": "{type}", "queue": "{queue}", "attempt": {attempt}, "worker": {quoted(worker)}, '.encode()
        + b'"correlation_id": "',
    )
