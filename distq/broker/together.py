"""Verbs for several queues in one call: with many queues an idle host sends no more commands than with one.

Only queues that share a place can be asked so: in a cluster each has its own. A queue that the broker refuses (a key of
the wrong type, say) keeps it from no other, and answers None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from distq.broker import cluster
from distq.broker.broker import Broker
from distq.broker.scripts import Argument, Reply, each
from distq.broker.verbs import Command, Depths

T = TypeVar("T")

Asks = Callable[[Sequence[str]], Command[list[T | None]]]
"""Makes the call for some queues, by their prefixes."""

AT_ONCE = 16
"""Queues in one call: none may hold the server for long."""


class Renewal(NamedTuple):
    """What renewing the leases of a host brought."""

    now_ms: int
    held: list[int]
    """For each worker how many entries the broker thinks it holds; -1: the worker is gone."""
    silent: list[tuple[str, str]]
    """Workers anywhere that have not renewed for half a lease, each with its lease's end as the broker writes it."""
    keeper: str


def parts(queues: Sequence[int], most: int = AT_ONCE) -> Iterator[Sequence[int]]:
    """As many at a time as one call may ask."""
    return (queues[start : start + most] for start in range(0, len(queues), most))


def renew(
    prefixes: Sequence[str], host: str, lease_ms: int, digest: str, types: Sequence[str], workers: Sequence[str]
) -> Command[list[Renewal | None]]:
    """Renews the leases of a host's workers and what the host announces."""
    return several("renew", prefixes, _parse_renewal, host, lease_ms, digest, len(types), *types, *workers)


def _parse_renewal(reply: Reply) -> Renewal:
    now_ms, held, silent, keeper = reply
    names = [str(name, "utf-8", "replace") for name in silent]
    return Renewal(now_ms, held, list(zip(names[::2], names[1::2], strict=True)), str(keeper, "utf-8", "replace"))


def depths(prefixes: Sequence[str]) -> Command[list[Depths | None]]:
    """How many tasks are in each state."""
    return several("depths", prefixes, lambda reply: Depths(*reply))


def of_all(broker: Broker, queues: Sequence[str], command: Asks[T], most: int = AT_ONCE) -> list[T | None]:
    """What this command says of each of these queues, asked for so many at a time that share a place; None where it was
    refused. Raises BrokerError."""
    prefixes = [broker.prefix(queue) for queue in queues]
    found: list[T | None] = [None] * len(queues)
    for numbers in cluster.grouped(broker.url, prefixes).values():
        for some in parts(numbers, most):
            for number, one in zip(some, broker.run(command([prefixes[number] for number in some])), strict=True):
                found[number] = one
    return found


def several(
    name: str, prefixes: Sequence[str], parse: Callable[[Reply], T], *args: Argument
) -> Command[list[T | None]]:
    """A verb for each of these queues."""
    verb = each(name)

    def parsed(replies: list[Reply]) -> list[T | None]:
        return [None if isinstance(reply, Exception) else parse(reply) for reply in replies]

    return Command(verb, verb.command_each(prefixes, *args), parsed)
