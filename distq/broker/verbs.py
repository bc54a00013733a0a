"""The verbs: one function per Lua file, of the same name. Each gives a Command; nothing is sent here.

A Command can be run over the connections that threads share (`Exchange`), over a worker's own (`Wire`), or from a
selector loop (`Link`). What it answers is parsed into plain values, so that no other module sees replies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import msgpack

from distq.broker import keys
from distq.broker.room import Word, words
from distq.broker.scripts import Argument, Reply, Script, encode_items, script
from distq.broker.verdicts import NO_VERDICTS, Verdicts

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

How = Literal["left", "died", "lost"]
Takes = Literal["all", "only", "sound", "lanes", "nothing", "suspects", "isolated"]
"""What a worker can be handed: everything (`only`: and its host has no other worker), no suspects (`lanes`: and nothing
that is in no lane), nothing, nothing but suspects, or suspects that run while their host runs nothing else."""


@dataclass(frozen=True, slots=True)
class Command(Generic[T_co]):
    """A call of one verb, ready for the wire."""

    verb: Script
    data: bytes
    parse: Callable[[Reply], T_co]


CREATED = b"created"
"""`enqueue` says so of a new task."""


class Held(NamedTuple):
    """What a worker holds of one queue, as its supervisor sees it."""

    queue: int
    started: list[bytes]
    """Entries that it runs."""
    waiting: list[bytes]
    """Entries that it has not started."""
    verdicts: Verdicts
    """What it has finished, and nobody has taken."""
    step: int
    doubtful: int
    """So many of the verdicts, from the first on, are void if the broker has seen a later step than `step`."""
    flying: list[bytes] | None = None
    """While the step after `step` is on its way: what has ended, and it or a later one settles. None: none is."""


class Step(NamedTuple):
    """What a worker's round trip brought."""

    word: Literal["ok", "gone", "stale"]
    now_ms: int
    fence: int
    """Fence of the first entry; each next one has one more."""
    alone: int
    """1: the one entry is a suspect, and nothing else may run in this process beside it. 2: a suspect waits until this
    worker holds nothing."""
    late: int
    """Verdicts on entries that were not held any more."""
    entries: list[bytes]
    messages: list[bytes]


class Lanes(NamedTuple):
    """Which types have lanes of their own as long as this worker's group lives, and how priorities share the queue."""

    apart: Sequence[str] = ()
    shares: Sequence[tuple[str, bool, Sequence[str]]] = ()
    """Of which it takes only some at a time: group, whether they have a lane here before one is met, types."""
    weights: str = ""
    """Of the priorities, from high to low, or "strict"; empty: not said."""


NO_LANES = Lanes()


class Settled(NamedTuple):
    """What a supervisor's settling brought."""

    word: str
    late: int
    step: int
    """The number of the worker's last step."""


class Due(NamedTuple):
    """A schedule whose tick has come."""

    name: str
    tick_ms: int
    edition: str
    turn: str
    when: str
    tz: str
    jitter_ms: int
    missed: str


class Tick(NamedTuple):
    """When to come again: `wait_ms` until the next future time (None: nothing is scheduled)."""

    is_keeper: bool
    wait_ms: int | None
    now_ms: int = 0
    due: tuple[Due, ...] = ()
    """Schedules that are to be fired now; when the next one comes is told then."""


class Present(NamedTuple):
    """One registered worker."""

    name: str
    lease_left_ms: int
    host: str
    info: str
    holds: list[str]


class Depths(NamedTuple):
    """How many tasks of a queue are in each state."""

    high: int
    default: int
    low: int
    scheduled: int
    running: int
    dead: int
    live: int
    in_lanes: int
    """Limited, or of a type that no worker knew: part of high, default and low."""
    workers: int
    moving: int = 0
    """Moves to or from another queue that are not over."""


class Recovery(NamedTuple):
    """What became of the entries of a worker."""

    word: Literal["ok", "alive", "gone"]
    released: int
    suspected: int
    charged: int
    buried: int
    left: int
    """Still held: call again."""


class Look(NamedTuple):
    """What is known of one task."""

    state: Literal["ended", "scheduled", "running", "queued", "dead", "unknown"]
    result: bytes | None
    message: bytes | None
    due_ms: int
    worker: str


def _command(name: str, prefix: str, parse: Callable[[Reply], T], *args: Argument) -> Command[T]:
    verb = script(name)
    return Command(verb, verb.command(prefix.encode(), *args), parse)


def _word(reply: Reply) -> str:
    return str(reply, "utf-8", "replace")


def _words(reply: Reply) -> list[str]:
    return [_word(item) for item in reply]


# -- producing ------------------------------------------------------------------------------------------------------


def enqueue_options(options: Mapping[str, object]) -> bytes:
    """The options argument: b"" for none, so that the script takes the short way."""
    return msgpack.packb(dict(options), use_bin_type=False) if options else b""


def enqueue_front(prefix: str, type: str, priority: int, options: bytes) -> bytes:
    """What all calls with the same options have in common: everything before their messages."""
    return encode_items(("EVALSHA", script("enqueue").sha, 1, prefix, type, keys.PRIORITIES[priority], options))


def enqueue_one(front: bytes, id: str, message: bytes) -> bytes:
    """A call with one message."""
    raw = id.encode()
    return b"*9\r\n%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (front, len(raw), raw, len(message), message)


def enqueue_form(front: bytes, queue: str, head: bytes) -> bytes:
    """The same for a generated id, to be filled with its digits, the length of the message, and the message's body."""
    start = b"*9\r\n%b$%d\r\n%b." % (front, len(queue) + 21, queue.encode())
    return b"%b%%b\r\n$%%d\r\n%b%%b\r\n" % (start.replace(b"%", b"%%"), head.replace(b"%", b"%%"))


def enqueue_many(front: bytes, ids: Sequence[str], messages: Sequence[bytes]) -> bytes:
    """A call with any number of messages."""
    items: list[str | bytes] = [""] * (2 * len(ids))
    items[0::2], items[1::2] = ids, messages
    packed = msgpack.packb(items, use_bin_type=False)
    return b"*8\r\n%b$%d\r\n%b\r\n" % (front, len(packed), packed)


def enqueue(front: bytes, ids: Sequence[str], messages: Sequence[bytes]) -> Command[list[Word]]:
    """Adds messages; answers for each whether it is new, or which task it means, or that there is no room."""
    number = len(ids)
    data = enqueue_one(front, ids[0], messages[0]) if number == 1 else enqueue_many(front, ids, messages)
    return Command(script("enqueue"), data, lambda reply: words(reply, number))


def for_each(reply: Reply, number: int) -> list[bytes]:
    """The script answers one word for all messages, or one for each."""
    return list(reply) * (number if len(reply) == 1 else 1)


# -- one worker -----------------------------------------------------------------------------------------------------


def register(
    prefix: str,
    worker: str,
    host: str,
    lease_ms: int,
    digest: str,
    info: bytes,
    takes: Takes,
    types: Sequence[str],
    limits: Mapping[str, tuple[str, bytes]],
    lanes: Lanes = NO_LANES,
) -> Command[list[str]]:
    """Begins a worker: ["ok", now] or ["layout", the other layout]. `limits`: by type, rate and flow, or empty."""
    apart = msgpack.packb(list(lanes.apart)) if lanes.apart else b""
    shares = msgpack.packb(list(lanes.shares)) if lanes.shares else b""
    declared = [item for type, said in limits.items() for item in (type, *said)]
    return _command(
        "register", prefix, _parse_registration,
        keys.LAYOUT, worker, host, lease_ms, digest, info, takes, apart, shares,
        lanes.weights, len(types), *types, *declared,
    )  # fmt: skip


def _parse_registration(reply: Reply) -> list[str]:
    return [_word(item) if isinstance(item, bytes) else str(item) for item in reply]


def step(
    prefix: str, worker: str, number: int, want: int, room: int, digest: str, verdicts: Verdicts = NO_VERDICTS
) -> Command[Step]:
    """Settles what was finished and reserves up to `want` messages of at most `room` bytes together. `digest`: the
    worker's group, and after it what it takes of types of which it runs only some at a time."""
    verb = script("step")
    data = b"".join(
        (
            verb.command_head(prefix.encode(), 5 + 3 * verdicts.number),
            encode_items((worker, number, want, room, digest)),
            verdicts.items,
        )
    )
    return Command(verb, data, _parse_step)


def _parse_step(reply: Reply) -> Step:
    word, now_ms, fence, alone, late, entries, messages = reply
    return Step(word.decode(), now_ms, fence, alone, late, entries, messages)


def settle(
    prefix: str, worker: str, number: int, verdicts: Verdicts, flying: int = 0, kept: Sequence[bytes] = ()
) -> Command[Settled]:
    """A supervisor settles for its busy child. `flying`: the number of the step whose answer the child does not read;
    then all that it holds goes back, but these."""
    verb = script("settle")
    items = encode_items((worker, number, flying, len(kept), *kept))
    data = verb.command_head(prefix.encode(), 4 + len(kept) + 3 * verdicts.number) + items + verdicts.items
    return Command(verb, data, lambda reply: Settled(_word(reply[0]), int(reply[1]), int(reply[2])))


def recover(
    prefix: str,
    worker: str,
    how: How,
    *,
    expected: str = "",
    max_deliveries: int = 3,
    record: bytes = b"",
    records: Mapping[bytes, bytes] | None = None,
    ran: int = 0,
    held: Held | None = None,
) -> Command[Recovery]:
    """Takes back what a worker holds and ends its name. `records`: by entry, for what it had started; others get
    `record`. `ran`: how many tasks its process ran, in all queues."""
    verb = script("recover")
    started, verdicts = (held.started, held.verdicts) if held else ([], NO_VERDICTS)
    step, doubtful = (held.step, held.doubtful) if held else (-1, 0)
    each = [item for entry in started for item in (entry, (records or {}).get(entry, b""))]
    items = encode_items((worker, how, expected, max_deliveries, record, step, doubtful, ran, len(started), *each))
    data = verb.command_head(prefix.encode(), 9 + len(each) + 3 * verdicts.number) + items + verdicts.items
    return Command(verb, data, lambda reply: Recovery(reply[0].decode(), *reply[1:]))


# -- one host -------------------------------------------------------------------------------------------------------


def tick(prefix: str, host: str, lease_ms: int) -> Command[Tick]:
    """Does what is due, if this host is the keeper or there is none."""
    return _command("tick", prefix, _parse_tick, host, lease_ms)


def _parse_tick(reply: Reply) -> Tick:
    word, now_ms, at_ms, *due = reply
    return Tick(word == b"keeper", None if at_ms < 0 else max(0, at_ms - now_ms), now_ms, tuple(map(_parse_due, due)))


def _parse_due(reply: Reply) -> Due:
    name, tick, edition, turn, when, tz, jitter, missed = _words(reply)
    return Due(name, int(tick), edition, turn, when, tz, int(jitter or 0), missed)


def resign(prefix: str, host: str) -> Command[str]:
    """A supervisor leaves; answers who keeps the time from now on."""
    return _command("resign", prefix, _word, host)


def workers(prefix: str) -> Command[list[Present]]:
    """Who is registered."""
    return _command("workers", prefix, _parse_workers)


def _parse_workers(reply: Reply) -> list[Present]:
    now_ms = reply[0]
    return [
        Present(_word(name), int(float(until)) - now_ms, _word(host), _word(info), _words(holds))
        for name, until, host, info, holds in reply[1:]
    ]


def depths(prefix: str) -> Command[Depths]:
    """How many tasks are in each state."""
    return _command("depths", prefix, lambda reply: Depths(*reply))


def entries(prefix: str, cursor: str) -> Command[tuple[str, list[tuple[bytes, bytes]]]]:
    """A page of the live entries with their types, and the cursor of the next one ("0": that was the last)."""
    return _command(
        "entries", prefix, lambda reply: (_word(reply[0]), list(zip(reply[1::2], reply[2::2], strict=True))), cursor
    )


def restore(prefix: str, entries: Sequence[bytes]) -> Command[int]:
    """Puts those back that are in no list; answers how many."""
    return _command("restore", prefix, int, *entries)


# -- people ---------------------------------------------------------------------------------------------------------


def look(prefix: str, id: str, waits: bool = False) -> Command[Look]:
    """State and result of one task, together. `waits`: if it ends within 25 s, its result comes to `ANSWER`, too."""
    return _command("look", prefix, _parse_look, id, "wait" if waits else "")


def _parse_look(reply: Reply) -> Look:
    state, result, message, due_ms, worker = reply
    return Look(state.decode(), result, message, due_ms, _word(worker))


def cancel(prefix: str, id: str, who: str, mode: Literal["", "running", "kill"] = "", token: str = "") -> Command[str]:
    """ "cancelled", or why not: "running", "ended", "unknown". With a mode also what runs: "ordered". `token`: that of
    a call that is made again."""
    return _command("cancel", prefix, _word, id, who, mode, token or os.urandom(8).hex())


def replay(prefix: str, ids: Sequence[str], every_ms: float = 0, first_ms: float = 0) -> Command[list[str]]:
    """Per id "replayed", "live" or "unknown". `every_ms`: they become ready one after the other."""
    return _command("replay", prefix, _words, f"{every_ms:.3f}", f"{first_ms:.0f}", *ids)


def purge_dead(prefix: str, ids: Sequence[str]) -> Command[int]:
    """Deletes dead letters; answers how many."""
    return _command("purge_dead", prefix, int, *ids)


def purge(prefix: str, level: str, who: str) -> Command[int]:
    """Cancels up to 500 waiting tasks of a priority, or scheduled ones; 0 when none is left."""
    return _command("purge", prefix, int, level, who)
