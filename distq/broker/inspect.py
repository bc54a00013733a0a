"""Reading what is in the broker, for people: dead letters, the life of a task, which applications there are.

Everything that comes out is untrusted data; whoever shows it makes it harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distq.broker import keys, verbs
from distq.broker.broker import Broker
from distq.broker.causes import Cause, last_causes, unpack_record
from distq.broker.dial import is_forbidden
from distq.broker.ledger import by_type, tally
from distq.broker.scripts import encode
from distq.broker.spread import exchange
from distq.errors import BrokerError, BrokerUnavailable
from distq.message import PRIORITIES, Message, parse

PAGE = 200
Means = Callable[[Message], bool]
"""Whether a message is meant."""
LARGER_THAN_ANY = 1 << 63


@dataclass(frozen=True)
class DeadLetter:
    """One dead task, with its last error."""

    id: str
    queue: str
    type: str
    error: str
    """Class of the last error."""
    message: str
    attempts: int
    died_at_ms: int
    enqueued_at_ms: int
    frame: str = ""
    """Where the error was raised, such as `shop/mail.py:12 in send`."""


@dataclass(frozen=True)
class DeadFilter:
    """Which dead letters are meant; empty fields match all."""

    ids: frozenset[str] = frozenset()
    type: str = ""
    error: str = ""
    """Part of the error's class or message, in any letter case; or `=` and the class."""
    older_than_s: float = 0.0
    since_s: float = 0.0
    """Died so long ago at most; 0: at any time."""
    frame: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it means all."""
        return self == DeadFilter()

    def matches(self, letter: DeadLetter, now_ms: float) -> bool:
        """Whether this one is meant."""
        age_s = (now_ms - letter.died_at_ms) / 1000
        return (
            (not self.ids or letter.id in self.ids)
            and (not self.type or letter.type == self.type)
            and Cause(letter.error, letter.message, letter.frame).matches(self.error, self.frame)
            and (not self.older_than_s or age_s >= self.older_than_s)
            and (not self.since_s or age_s <= self.since_s)
        )


def dead_letters(broker: Broker, queue: str, wanted: DeadFilter, means: Means | None = None) -> Iterator[DeadLetter]:
    """The dead letters of a queue that a filter means, the newest first, read in pages."""
    now_ms, start = time.time() * 1000, 0
    while True:
        number, letters = dead_page(broker, queue, start, means=means)
        if not number:
            return
        yield from (letter for letter in letters if wanted.matches(letter, now_ms))
        start += PAGE


def dead_page(
    broker: Broker, queue: str, start: int, count: int = PAGE, means: Means | None = None
) -> tuple[int, list[DeadLetter]]:
    """How many dead letters there are from a position on, at most `count`; and those that are meant, the newest
    first."""
    prefix = broker.prefix(queue)
    place = keys.key(prefix, "DEAD_LETTERS")
    pairs = broker.exchange.request(encode("ZREVRANGE", place, start, start + count - 1, "WITHSCORES"))
    ids, times = pairs[::2], [whole(float(ms)) for ms in pairs[1::2]]
    if not ids:
        return 0, []
    raws = broker.exchange.request(encode("HMGET", keys.key(prefix, "DEAD"), *ids))
    names = [id.decode("utf-8", "replace") for id in ids]
    found = [
        _letter(queue, id, at, raw, cause, means)
        for id, at, raw, cause in zip(names, times, raws, last_causes(broker, queue, names), strict=True)
    ]
    return len(ids), [letter for letter in found if letter is not None]


def _letter(queue: str, id: str, at: int, raw: bytes | None, cause: Cause, means: Means | None) -> DeadLetter | None:
    if raw is None:
        return None
    try:
        message = parse(raw)
    except ValueError:
        message = Message(0, 0, 0, 0, 0, 0, 1, 0, "(corrupt)", b"")
    if means is not None and not means(message):
        return None
    return DeadLetter(
        id, queue, message.type, cause.error, cause.message, message.attempt + 1, at, whole(message.created_ms),
        cause.frame,
    )  # fmt: skip


def attempts(broker: Broker, queue: str, id: str) -> list[dict[str, Any]]:
    """Records of the ended attempts of a task, the oldest first."""
    place = keys.key(broker.prefix(queue), "ATTEMPTS", id)
    return [unpack_record(raw) for raw in broker.exchange.request(encode("LRANGE", place, 0, -1))]


def describe(message: Message) -> dict[str, Any]:
    """The head of a message, for people."""
    return {
        "type": message.type,
        "priority": PRIORITIES[message.priority] if message.priority <= 2 else str(message.priority),
        "attempt": message.attempt + 1,
        "deliveries_lost": message.deliveries,
        "enqueued_at_ms": whole(message.created_ms),
        "expires_at_ms": whole(message.expires_ms) or None,
    }


def whole(value: object) -> int:
    """A number from outside as a whole one; 0 for what is none, or larger than any that is meant."""
    return int(value) if isinstance(value, int | float) and abs(value) < LARGER_THAN_ANY else 0


def applications(url: str, timeout: float) -> dict[str, list[str]]:
    """What exists on a broker: application -> queues. Raises BrokerUnavailable, and BrokerError if it may not know."""
    found: dict[str, list[str]] = {}
    try:
        members = exchange(url, timeout).request(encode("SMEMBERS", keys.KNOWN_QUEUES))
    except BrokerUnavailable as error:
        if is_forbidden(str(error)):
            hint = f"ACL SETUSER … ~{keys.KNOWN_QUEUES} +smembers +sadd"
        elif "WRONGTYPE" in str(error):
            hint = "the key is none of distq's: delete it, or rename it"
        else:
            raise
        raise BrokerError(f"{error}: the names of all queues are in the key {keys.KNOWN_QUEUES}; {hint}") from error
    for member in members:
        app, slash, queue = member.decode("utf-8", "replace").partition("/")
        if slash:
            found.setdefault(app, []).append(queue)
    return {app: sorted(queues) for app, queues in sorted(found.items())}


def in_use(url: str, timeout: float, known: dict[str, list[str]]) -> list[str]:
    """Those applications that have workers, tasks or dead letters. Others were there once, and left only their name."""
    names = ("LEASES", "TASKS", "DEAD")
    pairs = [(app, keys.prefix(app, queue)) for app, queues in known.items() for queue in queues]
    commands = [encode("EXISTS", *(keys.key(prefix, name) for name in names)) for _, prefix in pairs]
    counts = exchange(url, timeout).read_all(commands)
    return list(dict.fromkeys(app for (app, _), count in zip(pairs, counts, strict=True) if count))


def ledger(broker: Broker, queue: str) -> dict[str, dict[str, int]]:
    """What has happened in a queue since it was made: type -> event (distq.states.EVENTS) -> how often."""
    return by_type(broker.run(tally(broker.prefix(queue))).counts)


def replay(broker: Broker, queue: str, ids: Sequence[str], every_ms: float = 0, first_ms: float = 0) -> int:
    """Replays dead letters; answers how many. `every_ms`: one after the other, the first one in `first_ms`."""
    count = 0
    for number, page in enumerate(_pages(ids)):
        after_ms = first_ms + number * PAGE * every_ms
        count += broker.run(verbs.replay(broker.prefix(queue), page, every_ms, after_ms)).count("replayed")
    return count


def purge_dead(broker: Broker, queue: str, ids: Sequence[str]) -> int:
    """Deletes dead letters; answers how many."""
    return sum(broker.run(verbs.purge_dead(broker.prefix(queue), page)) for page in _pages(ids))


def purge(broker: Broker, queue: str, level: str, by: str = "purge") -> int:
    """Cancels what waits at one priority, or is scheduled; answers how many were taken."""
    command = verbs.purge(broker.prefix(queue), level, by)
    taken = total = broker.run(command)
    while taken:
        taken = broker.run(command)
        total += taken
    return total


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]
