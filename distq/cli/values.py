"""What people write behind options: checked at the door, so that a message names the option and its value."""

from __future__ import annotations

from distq import durations
from distq.errors import ConfigurationError, did_you_mean
from distq.message import PRIORITIES

SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
PRIORITY_NAMES = ("high", "default", "low")


def seconds(text: str, option: str) -> float:
    """A duration in seconds."""
    try:
        return durations.seconds(text, option)
    except ConfigurationError:
        raise ConfigurationError(f"{option} {text!r:.80} is no duration: give 500ms, 10s, 5m, 2h or 7d") from None


def above_0(text: str, option: str) -> float:
    """A duration that is one."""
    number = seconds(text, option)
    if not number:
        raise ConfigurationError(f"{option} {text}: give a time above 0")
    return number


def priority(text: str, option: str = "--priority") -> str:
    """The name of a priority, for its name or number."""
    if text in ("0", "1", "2"):
        return PRIORITIES[int(text)]
    if text not in PRIORITY_NAMES:
        raise ConfigurationError(
            f"{option} {text!r:.80}: give high, default or low (or 2, 1, 0){did_you_mean(text, PRIORITY_NAMES)}"
        )
    return text


def given(text: str | None, option: str) -> str | None:
    """The value, if one was given. An empty one is an error: an unset variable of a shell must not mean everything."""
    if text == "":
        raise ConfigurationError(f"{option} is empty: give a value, or leave it out")
    return text


def whole(text: str, option: str, least: int, most: int) -> int:
    """A whole number."""
    number = (
        int(text) if text.strip().isascii() and text.strip().removeprefix("-").isdigit() and len(text) < 20 else None
    )
    if number is None or not least <= number <= most:
        raise ConfigurationError(f"{option} {text!r:.80}: give a whole number from {least} to {most}")
    return number


def size(text: str, option: str) -> int:
    """A number of bytes."""
    number, unit = text[:-1], text[-1:].upper()
    if unit not in SIZES or not number.isascii() or not number.isdigit() or not 0 < int(number) < 1 << 20:
        raise ConfigurationError(f"{option} {text!r:.80} is no size: give 512M or 2G")
    return int(number) * SIZES[unit]
