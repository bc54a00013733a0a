"""What people order worker hosts to do: the same as by signals, from anywhere."""

from __future__ import annotations

from typing import Literal

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import encode, readable, script
from distq.broker.verbs import Command

Order = Literal["quiet", "resume", "restart", "stacks", "stop"]

STACKS_FOR_MS = 60_000


def order(prefix: str, host: str, what: Order) -> Command[str]:
    """Tells a host to take nothing, to go on, to replace its processes, to show its stacks, or to end: "ordered", or
    "unknown"."""
    verb = script("order")
    return Command(verb, verb.command(prefix.encode(), host, what), lambda reply: str(reply, "ascii"))


def keep_stacks(prefix: str, host: str, text: str) -> bytes:
    """The command by which a host shows what its processes are at, for a minute."""
    return encode("SET", keys.key(prefix, "STACKS", host), text, "PX", STACKS_FOR_MS)


def stacks(broker: Broker, queue: str, host: str) -> str:
    """What a host has shown lately; "" if nothing."""
    found = broker.exchange.request(encode("GET", keys.key(broker.prefix(queue), "STACKS", host)))
    return readable(found) if found else ""
