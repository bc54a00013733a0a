"""Logging of the doors: one handler on the logger `distq`. The root logger belongs to the user."""

from __future__ import annotations

import logging
import sys

from distq.errors import ConfigurationError, did_you_mean

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def configure(level: str, format: str) -> None:
    """Writes the loggers `distq.*` to standard error, as text or as JSON (extra `json`)."""
    name = level.upper()
    if name not in LEVELS:
        raise ConfigurationError(f"--log-level {level}: give one of {', '.join(LEVELS)}{did_you_mean(name, LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(_json_formatter())
    elif format == "text":
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"))
    else:
        raise ConfigurationError(f"--log-format {format}: give text or json{did_you_mean(format, ('text', 'json'))}")
    logger = logging.getLogger("distq")
    logger.handlers[:] = [handler]
    logger.setLevel(name)
    logger.propagate = False


def _json_formatter() -> logging.Formatter:
    try:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 (extra `json`)
    except ImportError:
        raise ConfigurationError("--log-format json needs the extra: pip install 'distq[json]'") from None
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
