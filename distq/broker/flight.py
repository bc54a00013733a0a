"""Calls one after the other over shared connections, for whoever has many: the broker and the caller work at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from distq.broker.scripts import Reply, Script

if TYPE_CHECKING:
    from distq.broker.connect import Exchange


class Flight:
    """Calls one after the other, each of which is on its way while the caller prepares the next.

    The end of the `with` block waits for the last one, also when it is left by an error.
    """

    def __init__(self, exchange: Exchange, verb: Script) -> None:
        self._exchange, self._verb = exchange, verb
        self._land: Callable[[], Reply] | None = None

    def send(self, data: bytes) -> None:
        """Waits until the call before has been answered, and sends this one."""
        self.land()
        self._land = self._exchange.start(self._verb, data)

    def land(self) -> Reply:
        """Waits for the last answer; None: there is none to wait for."""
        land, self._land = self._land, None
        return None if land is None else land()

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, *_: object) -> None:
        self.land()
