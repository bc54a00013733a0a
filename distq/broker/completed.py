"""Completed tasks: the last of each queue; and of types that declare a `history=` who is listed, and what is kept."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgpack

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.inspect import whole
from distq.broker.scripts import encode, readable, script
from distq.broker.verbs import Command
from distq.broker.verdicts import SECONDS
from distq.message import Message, parse

UNKNOWN = ("", 0, "")
_HEAD = re.compile(r"(\S+) (\d{1,15}) (\d{1,3}) (.*)", re.S)


class Last(NamedTuple):
    """One of the last of a queue, of a type without a history."""

    id: str
    type: str
    """As it travels; "": an earlier release has listed it, without anything else."""
    finished_ms: int
    worker: str


class Completed(NamedTuple):
    """What is kept of one."""

    message: Message
    """Without arguments, if they were large."""
    finished_ms: int
    seconds: float
    """How long its last attempt took."""
    worker: str


def last(broker: Broker, queue: str) -> list[Last]:
    """Some more than a hundred, the newest first."""
    found: list[Last] = []
    about, number = UNKNOWN, 0
    for word in broker.exchange.request(encode("LRANGE", keys.key(broker.prefix(queue), "COMPLETED"), 0, -1)):
        text = readable(word)
        if head := _HEAD.fullmatch(text):
            about, number = (head[1], int(head[2]) * 1000, head[4]), int(head[3])
        else:
            found.append(Last(text, *(about if number > 0 else UNKNOWN)))
            number -= 1
    return found


def types(broker: Broker, queue: str) -> list[str]:
    """Of which some may be listed, as they travel."""
    found = broker.exchange.request(encode("SMEMBERS", keys.key(broker.prefix(queue), "DONE_TYPES")))
    return sorted(map(readable, found))


def forget(prefix: str, type: str) -> Command[int]:
    """Deletes all that is kept of a type, as it travels; answers how many there were."""
    verb = script("forget_done")
    return Command(verb, verb.command(prefix.encode(), type), int)


def page(broker: Broker, queue: str, type: str, start: int, count: int) -> list[tuple[str, Completed | None]]:
    """Ids of a type from a position on, the newest first, with what is kept of them."""
    prefix, ask = broker.prefix(queue), broker.exchange.request
    ids = ask(encode("ZREVRANGE", keys.key(prefix, "DONE_AT", type), start, start + count - 1))
    raws = ask(encode("HMGET", keys.key(prefix, "DONE", type), *ids)) if ids else []
    return [(readable(id), read(raw)) for id, raw in zip(ids, raws, strict=True)]


def find(broker: Broker, queue: str, id: str) -> Completed | None:
    """What is kept of one, whatever its type."""
    prefix = broker.prefix(queue)
    asked = [encode("HGET", keys.key(prefix, "DONE", type), id) for type in types(broker, queue)]
    found = filter(None, map(read, broker.exchange.read_all(asked)))
    return max(found, key=lambda one: one.finished_ms, default=None)


def read(raw: bytes | None) -> Completed | None:
    """A record; None for what is gone, or was written by nobody."""
    try:
        finished, took, worker, message = msgpack.unpackb(raw or b"", raw=True)
        return Completed(parse(message), whole(finished), SECONDS.unpack(took)[0], readable(worker))
    except Exception:
        return None
