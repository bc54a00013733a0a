"""Of what tasks have died, or failed last: class and message of the error, and where in the code it was raised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import encode

NO_FRAME = "-"
"""As a condition: nobody knows where."""

_FRAME = re.compile(r'File "([^"\n]+)", line (\d+),? in (\S+)')
_BEGIN = "Traceback (most recent call last)"
_CRASH = "most recent call first"
_OTHERS = re.compile(r"[/\\](?:site-packages|dist-packages|lib[/\\]python3[^/\\]*)[/\\]")
"""Code that is installed, and not people's own."""
_SEPARATOR = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Cause:
    """The last error of a task; all empty if it has had none."""

    error: str = ""
    """Its class."""
    message: str = ""
    frame: str = ""
    """Where it was raised, such as `shop/mail.py:12 in send`; "" where that is not known."""

    def matches(self, error: str, frame: str) -> bool:
        """Whether it is meant. `error`: part of class and message, in any letter case, or `=` and the whole class;
        `frame` as it is here, or NO_FRAME. What is empty means any."""
        if frame and self.frame != ("" if frame == NO_FRAME else frame):
            return False
        if error.startswith("="):
            return self.error == error[1:]
        return error.lower() in f"{self.error}: {self.message}".lower()


def unpack_record(raw: bytes) -> dict[str, Any]:
    """A record of an attempt; empty if it cannot be read."""
    try:
        record = msgpack.unpackb(raw, strict_map_key=False)
    except Exception:
        return {}
    return record if isinstance(record, dict) else {}


def cause_of(record: Mapping[str, Any]) -> Cause:
    """Of the record of an attempt, which is untrusted."""
    text = record.get("traceback")
    return Cause(
        str(record.get("type", "")), str(record.get("message", "")), top_frame(text) if isinstance(text, str) else ""
    )


def top_frame(text: str) -> str:
    """The innermost call of a traceback that is in people's own code; if there is none, the innermost one."""
    frames = _FRAME.findall(text.rpartition(_BEGIN)[2])
    if _CRASH not in text:
        frames.reverse()
    if not frames:
        return ""
    path, line, name = next((frame for frame in frames if not _OTHERS.search(frame[0])), frames[0])
    return f"{'/'.join(_SEPARATOR.split(path)[-2:])}:{line} in {name}"


def last_causes(broker: Broker, queue: str, ids: Iterable[str]) -> list[Cause]:
    """The last error of each of these tasks."""
    prefix = broker.prefix(queue)
    ends = broker.exchange.read_all([encode("LRANGE", keys.key(prefix, "ATTEMPTS", id), -1, -1) for id in ids])
    return [cause_of(unpack_record(last[0]) if last else {}) for last in ends]
