"""One look at a queue for people who watch: all that changes while they do, in one script, also for several queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distq.broker import controls, keys
from distq.broker.ledger import Tally, read_tally
from distq.broker.scripts import Reply, readable, script
from distq.broker.together import several
from distq.broker.verbs import Command

NAMED = 16
"""So many entries of each worker are told with their types."""


class Holder(NamedTuple):
    """A registered worker, and what it has fetched or runs, the first of it first."""

    name: str
    lease_left_ms: int
    host: str
    info: str
    number: int
    """So many tasks are with it."""
    holds: list[tuple[str, str]]
    """Id and type of the first of them."""


class Glance(NamedTuple):
    """A queue at one instant."""

    now_ms: int
    tally: Tally
    workers: list[Holder]
    oldest_ms: int
    """When the call was made that is next and has waited longest; 0: nothing could run."""
    stopped: dict[str, object]
    """Who paused the queue, and when; empty: nobody."""
    paused: dict[str, dict[str, object]]
    """The same by "type" and "type key"."""
    hosts: list[str]
    """Those that take orders: one that is quiet has no workers."""


def glance(prefix: str, each: int = NAMED) -> Command[Glance]:
    """What is there now."""
    verb = script("glance")
    return Command(verb, verb.command(prefix.encode(), each), _parse)


def glances(prefixes: Sequence[str], each: int = NAMED) -> Command[list[Glance | None]]:
    """The same of several queues; None where keys are of the wrong kind."""
    return several("glance", prefixes, _parse, each)


def _parse(reply: Reply) -> Glance:
    now_ms, depths, counts, workers, oldest_ms, stopped, paused, hosts = reply
    return Glance(
        now_ms,
        read_tally([depths, counts]),
        [_holder(now_ms, *each) for each in workers],
        oldest_ms,
        controls.unpacked(stopped),
        {readable(name): controls.unpacked(note) for name, note in zip(paused[::2], paused[1::2], strict=True)},
        [readable(host) for host in hosts],
    )


def _holder(
    now_ms: int, name: bytes, until: bytes, host: bytes, info: bytes, number: int, held: Sequence[bytes]
) -> Holder:
    holds = [(keys.id_of(readable(entry)), readable(type)) for entry, type in zip(held[::2], held[1::2], strict=True)]
    return Holder(readable(name), int(float(until)) - now_ms, readable(host), readable(info), number, holds)
