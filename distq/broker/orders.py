"""What people order worker hosts to do: the same as by signals, from anywhere."""

from __future__ import annotations

from typing import Literal

from distq.broker.scripts import script
from distq.broker.verbs import Command


def order(prefix: str, host: str, what: Literal["quiet", "resume", "stop"]) -> Command[str]:
    """Tells a host to take nothing, to go on, or to end: "ordered", or "unknown"."""
    verb = script("order")
    return Command(verb, verb.command(prefix.encode(), host, what), lambda reply: str(reply, "ascii"))
