"""Which arrow of the state table a test proves; a guard compares them with the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def arrow(source: str, target: str, verb: str) -> Callable[[F], F]:
    """Says it; `tests/broker/test_arrows.py` reads it from the source."""

    def same(test: F) -> F:
        return test

    return same
