"""Budgets as programs outside of tasks take from them: two verbs."""

from __future__ import annotations

from collections.abc import Sequence

from distq.broker.scripts import Reply, script
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


def _nothing(_: Reply) -> None:
    return None
