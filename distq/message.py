"""A message: one requested call as it travels. Pure data; it cannot reach the broker.

    bytes in the broker = head (27 bytes + type) [+ flow] + body
    head  created_ms f64 | expires_ms f64 | result_ttl_s u32 | attempt u16 | deliveries u8 | version u8
          | priority u8 | flags u8 | length of type u8 | type        big-endian; the only part that scripts touch
    flow  length u16, msgpack map                             only in version 2, see lua/parts/head.lua
    body  [args] | [args, kwargs] | [args, kwargs, headers]          msgpack, see `distq.codec`; opaque to scripts

Producers send it without the first two fields: the broker's clock writes them.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable
from typing import NamedTuple

from distq.errors import ConfigurationError, did_you_mean

VERSION = 2
"""Version of the envelope that this release reads at most. Where version 1 says all, it writes that."""

PLAIN = 1
FLOWING = 2
"""Has, between its head and its body, what decides when it is handed over."""

HAS_RECORDS = 2
"""Flag: the task was replayed, so that there are records of attempts before its first."""

HAS_MEMORY = 128
"""Flag: something is kept beside the task that it remembers from run to run."""

MOST_DELIVERIES = 15
"""The largest `max_deliveries` that a message can carry: 4 bits of its flags. 0: as the host says."""

NEVER_SAID = 0xFFFFFFFF
"""`result_ttl_s` of a message whose producer does not know the task's declaration."""

MAX_NAME = 200
MAX_ID = 200
MAX_BY = 200
MOST_PARTITIONS = 64
MAX_VERSION = 999
"""Of a task's arguments."""

_HEAD = struct.Struct(">ddIHBBBBB")
_SENT = struct.Struct(">IHBBBBB")
_FLOW = struct.Struct(">H")
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,%d}\Z" % MAX_NAME)
_SENT_NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,255}\Z")
_LIKE_A_LANE = re.compile(r"v[0-9]+/")
_TYPED = re.compile(r"(.+)@([2-9]|[1-9][0-9]{1,2})\Z")
_PLACE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_ID = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,%d}\Z" % MAX_ID)
_GENERATED = re.compile(r"([A-Za-z0-9_-]{1,64}(?:/[1-9][0-9]?)?)\.[0-9a-f]{20}\Z")
_PARTITION = re.compile(r"([A-Za-z0-9_-]{1,64})/[1-9][0-9]?\Z")

PRIORITIES: tuple[str, str, str] = ("low", "default", "high")


class Message(NamedTuple):
    """One requested call, as a worker holds it."""

    created_ms: float
    expires_ms: float
    result_ttl_s: int
    attempt: int
    """How many attempts have ended before (0 at first)."""
    deliveries: int
    """How many times it was charged with the death of its process."""
    version: int
    priority: int
    flags: int
    type: str
    body: bytes
    flow: bytes = b""
    """msgpack of what decides when it is handed over; nothing: its type alone."""


CREATED = struct.Struct(">d")
"""`created_ms`, the first field."""
_ATTEMPT = 20
NOTED = struct.Struct(">d12xH")
"""`created_ms` and `attempt`, at once."""


def sent_head(raw: bytes) -> bytes:
    """The head of a message as its producer sent it. Raises IndexError when there is none."""
    return raw[2 * CREATED.size : _HEAD.size + raw[_HEAD.size - 1]]


def parse(raw: bytes) -> Message:
    """The message in these bytes.

    Raises ValueError when they are no message.
    """
    try:
        *head, size = _HEAD.unpack_from(raw)
        end = _HEAD.size + size
        if len(raw) < end:
            raise ValueError("the message is cut off")
        type = raw[_HEAD.size : end].decode()
        if not _SENT_NAME.match(type):
            raise ValueError(f"not a message: its type is {type!r:.80}")
        start = end + _FLOW.size if head[5] == FLOWING else end
        body = start + _FLOW.unpack_from(raw, end)[0] if head[5] == FLOWING else end
        if len(raw) < body:
            raise ValueError("the message is cut off")
        return Message._make((*head, type, raw[body:], raw[start:body]))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a message: {error}") from None


def type_of(raw: bytes) -> str:
    """The type of a message, whatever else it is."""
    size = raw[_HEAD.size - 1] if len(raw) >= _HEAD.size else 0
    return raw[_HEAD.size : _HEAD.size + size].decode("utf-8", "replace")


def attempt_of(raw: bytes) -> int:
    """How many attempts of a message have ended before, read alone."""
    return raw[_ATTEMPT] << 8 | raw[_ATTEMPT + 1]


def body_at(raw: bytes) -> int:
    """Where the body of a message begins that has a flow. One that is cut off has none."""
    end = _HEAD.size + raw[_HEAD.size - 1]
    start = end + _FLOW.size
    return start + int.from_bytes(raw[end:start], "big") if len(raw) >= start else len(raw)


def head(
    type: str, priority: int, result_ttl_s: int | None, max_deliveries: int = 0, flow: bytes | None = None
) -> bytes:
    """The part of a new message that is the same for every call with the same options (and, if it has one, flow)."""
    name = type.encode()
    ttl = NEVER_SAID if result_ttl_s is None else result_ttl_s
    version = PLAIN if flow is None else FLOWING
    sent = _SENT.pack(ttl, 0, 0, version, priority, max_deliveries << 2, len(name)) + name
    return sent if flow is None else sent + _FLOW.pack(len(flow)) + flow


def own_max_deliveries(flags: int) -> int:
    """What a message itself says of how often it may kill its process; 0: nothing."""
    return flags >> 2 & MOST_DELIVERIES


def typed(name: str, version: int) -> str:
    """The type under which a call of this version travels: `mail`, `mail@2`."""
    return name if version == 1 else f"{name}@{version}"


def untyped(type: str) -> tuple[str, int]:
    """Name and version of a type that has travelled."""
    match = _TYPED.match(type)
    return (match[1], int(match[2])) if match else (type, 1)


def type_of_lane(lane: str) -> str:
    """The name of the type whose tasks wait in this lane."""
    return untyped(lane.removeprefix(f"v{FLOWING}/"))[0]


def names_of(types: Iterable[str]) -> list[str]:
    """The names of types that travel, each once."""
    return list(dict.fromkeys(untyped(type)[0] for type in types))


def new_id(queue: str) -> str:
    """A fresh id: `queue.` and 80 random bits, so that the id alone tells where its task lives."""
    return f"{queue}.{new_digits()}"


def new_digits() -> str:
    """What follows the queue in a fresh id."""
    return os.urandom(10).hex()


def new_ids(queue: str, number: int) -> list[str]:
    """As many fresh ids, made at once: for one, asking the system for its bits takes longest."""
    start = queue + "."
    return [start + digits for digits in os.urandom(10 * number).hex(" ", -10).split(" ")]


def partition(queue: str, number: int) -> str:
    """The name of a partition: `bulk/3`. The first one is the plain queue, so that a queue can be given more, or lose
    them, at any time."""
    return queue if number == 0 else f"{queue}/{number}"


def partitions(queue: str, count: int) -> list[str]:
    """All of a queue."""
    return [partition(queue, number) for number in range(count)]


def family(name: str) -> str:
    """The queue that a partition belongs to: `bulk` of `bulk/3`, and of `bulk`."""
    match = _PARTITION.match(name)
    return match[1] if match else name


def check_partitions(count: object) -> int:
    """A number of partitions, if it can be one."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PARTITIONS:
        raise ConfigurationError(f"partitions={count!r:.80}: give a whole number from 1 to {MOST_PARTITIONS}")
    return count


def queue_of(id: str) -> str | None:
    """The queue, or its partition, named in a generated id; None for an id given by a user."""
    match = _GENERATED.match(id)
    return match[1] if match else None


def check_id(id: object) -> str:
    """A user's id, if it can be one."""
    if not isinstance(id, str) or not _ID.match(id) or len(id.encode()) > MAX_ID:
        what = "" if isinstance(id, str) else "a str of "
        raise ConfigurationError(
            f"id={id!r:.80} cannot be an id: use {what}1 to {MAX_ID} bytes without spaces or control characters"
        )
    return id


def check_max_deliveries(value: object) -> int:
    """How often a task may kill its process, if it can be that."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_DELIVERIES:
        raise ConfigurationError(
            f"max_deliveries={value!r:.80}: give a whole number from 1 (at most once) to {MOST_DELIVERIES}"
        )
    return value


def check_by(by: object) -> str:
    """Who asks, in the words that others are shown, if these can be that."""
    if not isinstance(by, str) or not by.strip() or not by.isprintable() or len(by.encode()) > MAX_BY:
        raise ConfigurationError(f"by={by!r:.80}: say who asks in 1 to {MAX_BY} bytes of one line of text")
    return by


def check_type(name: object) -> str:
    """A task's type, if it can be one."""
    if isinstance(name, str) and _LIKE_A_LANE.match(name):
        raise ConfigurationError(f"type={name!r:.80} cannot be a type: names such as v2/… are those of lanes")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"type={name!r:.80} cannot be a type: use 1 to {MAX_NAME} letters, digits and _ . : / -"
        )
    return name


def check_place(name: object, what: str) -> str:
    """The name of an application or a queue, if it can be one."""
    if not isinstance(name, str) or not _PLACE.match(name):
        raise ConfigurationError(f"{what} {name!r:.80} is no valid name: use 1 to 64 letters, digits and _ -")
    return name


def priority_number(value: object) -> int:
    """0, 1 or 2 for `low`/`default`/`high` or the number itself."""
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2:
        return value
    hint = did_you_mean(value, PRIORITIES) if isinstance(value, str) else ""
    raise ConfigurationError(f"priority={value!r:.80} is none of high, default, low (or 2, 1, 0){hint}")
