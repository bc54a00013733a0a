"""Logging of the doors: one handler on the logger `distq`. The root logger belongs to the user."""

from __future__ import annotations

import logging
import sys

from distq.errors import ConfigurationError, did_you_mean

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("text", "json")


def configure(level: str, format: str) -> None:
    """Writes the loggers `distq.*` to standard error, as text or as JSON (extra `json`)."""
    name = check_level(level)
    if format not in FORMATS:
        raise ConfigurationError(f"--log-format {format}: give text or json{did_you_mean(format, FORMATS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter() if format == "json" else _Text())
    logger = logging.getLogger("distq")
    logger.handlers[:] = [handler]
    logger.setLevel(name)
    logger.propagate = False


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
        return one_line(super().formatMessage(record))


def _json_formatter() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 (extra `json`)
    except ImportError:
        raise ConfigurationError("--log-format json needs the extra: pip install 'distq[json]'") from None
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
