"""What people have done over HTTP: who, what and when. It is for people who look; nothing depends on it."""

from __future__ import annotations

import os
from typing import NamedTuple

import msgpack

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import encode, script
from distq.broker.verbs import Command

KEPT = 2000
KEPT_MS = 90 * 86_400_000
MOST_TEXT = 500


class Action(NamedTuple):
    """One of them."""

    at_ms: int
    who: str
    what: str
    said: str
    """With what: the body of the request, or the beginning of it."""


def note(prefix: str, who: str, what: str, said: str) -> Command[str]:
    """Keeps one, in the queue of this prefix."""
    verb = script("note")
    record = msgpack.packb([os.urandom(6), who[:MOST_TEXT], what[:MOST_TEXT], said[:MOST_TEXT]])
    return Command(verb, verb.command(prefix.encode(), record, KEPT, KEPT_MS), lambda reply: str(reply, "ascii"))


def newest(broker: Broker, queue: str, count: int) -> list[Action]:
    """The newest first."""
    place = keys.key(broker.prefix(queue), "ACTIONS")
    pairs = broker.exchange.request(encode("ZREVRANGE", place, 0, count - 1, "WITHSCORES"))
    return [_read(raw, ms) for raw, ms in zip(pairs[::2], pairs[1::2], strict=True)]


def _read(raw: bytes, ms: bytes) -> Action:
    """It is untrusted, as all that comes from the broker."""
    try:
        _, *words = msgpack.unpackb(raw, strict_map_key=False)
        who, what, said = (str(word)[:MOST_TEXT] for word in words)
    except (ValueError, TypeError, msgpack.UnpackException):
        who = what = said = "?"
    return Action(int(float(ms)), who, what, said)
