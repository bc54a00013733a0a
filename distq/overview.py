"""What is there now in all queues of an application, in one round trip: what `distq top` and the dashboard show.

It reads through the broker's connections for synchronous callers. What comes out is untrusted data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from distq.broker.glance import Glance, Holder, glances
from distq.broker.ledger import Tally, total
from distq.broker.together import of_all
from distq.controls import Pause, in_order, pauses_in
from distq.facts import places

if TYPE_CHECKING:
    from distq.app import Distq


class Held(NamedTuple):
    """A task that a worker has fetched, or runs."""

    queue: str
    id: str
    type: str


@dataclass
class Worker:
    """A worker process, in all its queues."""

    name: str
    lease_left_ms: int = 0
    number: int = 0
    """So many tasks are with it."""
    holds: list[Held] = field(default_factory=list)
    """The first of them in each queue."""


@dataclass
class Host:
    """A worker host."""

    name: str
    about: dict[str, Any]
    """What it says of itself."""
    workers: dict[str, Worker] = field(default_factory=dict)


class Overview(NamedTuple):
    """All queues at nearly one instant."""

    at_ms: int
    """By the broker's clock."""
    queues: dict[str, Tally]
    """Partitions of a queue together."""
    oldest: dict[str, int]
    """By queue, when the call was made that is next and has waited longest (ms)."""
    hosts: list[Host]
    pauses: list[Pause]
    broken: list[str]
    """Queues and partitions whose keys are none of distq's: `distq doctor` says more."""


def overview(app: Distq, named: Mapping[str, Sequence[str]] | None = None) -> Overview:
    """What is there now. `named`: the queues with their partitions, for who has asked for them lately. Raises
    BrokerError."""
    named = places(app) if named is None else named
    names = [name for group in named.values() for name in group]
    found = dict(zip(names, of_all(app.broker, names, glances), strict=True))
    groups = {
        queue: some for queue, group in named.items() if (some := [one for name in group if (one := found[name])])
    }
    oldest = {queue: [one.oldest_ms for one in group if one.oldest_ms] for queue, group in groups.items()}
    return Overview(
        max((one.now_ms for group in groups.values() for one in group), default=0),
        {queue: total([one.tally for one in group]) for queue, group in groups.items()},
        {queue: min(times) for queue, times in oldest.items() if times},
        by_host(
            ((name, holder) for name, one in found.items() if one is not None for holder in one.workers),
            (host for group in groups.values() for one in group for host in one.hosts),
        ),
        in_order(_pauses(groups)),
        [name for name, one in found.items() if one is None],
    )


def by_host(found: Iterable[tuple[str, Holder]], present: Iterable[str]) -> list[Host]:
    """What is registered in each queue, put together; of the hosts that are there also those without workers: they are
    quiet, or start."""
    hosts: dict[str, Host] = {}
    for queue, holder in found:
        host = hosts.setdefault(holder.host, Host(holder.host, _about(holder.info)))
        worker = host.workers.setdefault(holder.name, Worker(holder.name))
        worker.lease_left_ms = max(worker.lease_left_ms, holder.lease_left_ms)
        worker.number += holder.number
        worker.holds += [Held(queue, id, type) for id, type in holder.holds]
    for name in present:
        hosts.setdefault(name, Host(name, {}))
    return list(hosts.values())


def _pauses(groups: Mapping[str, Sequence[Glance]]) -> Iterator[Pause]:
    for queue, group in groups.items():
        for one in group:
            yield from pauses_in(queue, one.stopped, one.paused)


def _about(info: str) -> dict[str, Any]:
    """What a host says of itself."""
    try:
        found = json.loads(info)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
