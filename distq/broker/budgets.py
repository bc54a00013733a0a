"""Budgets as programs outside of tasks take from them: two verbs, and a reading."""

from __future__ import annotations

from collections.abc import Sequence

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import Reply, encode, script
from distq.broker.verbs import Command


def acquire(prefix: str, name: str, key: str, wanted: Sequence[tuple[str, float]]) -> Command[float]:
    """Takes, or answers after how many seconds that can be done (0: it is). `wanted`: each amount as the scripts
    keep it, and the cost."""
    verb = script("acquire")
    args = [item for declared, cost in wanted for item in (declared, f"{cost:.15g}")]
    return Command(verb, verb.command(prefix.encode(), name, key, *args), lambda reply: reply / 1000)


def park_budget(prefix: str, name: str, key: str, ms: int) -> Command[None]:
    """Nobody takes from it for so long."""
    verb = script("park_budget")
    return Command(verb, verb.command(prefix.encode(), name, key, ms), _nothing)


def look(broker: Broker, queue: str, name: str, key: str, amounts: int) -> tuple[list[int], int]:
    """Of each amount the ms until all of it is there again (0: it is), and until when it is parked (0: it is not)."""
    prefix = broker.prefix(queue)
    buckets = [keys.key(prefix, "BUCKET", f"{name}!{number} {key}") for number in range(1, amounts + 1)]
    *left, till = broker.exchange.read_all(
        [*(encode("PTTL", bucket) for bucket in buckets), encode("GET", keys.key(prefix, "BUCKET", f"{name}! {key}"))]
    )
    return [max(0, ms) for ms in left], int(till) if till is not None and till.isdigit() else 0


def _nothing(_: Reply) -> None:
    return None
