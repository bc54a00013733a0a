"""Hears from a sentinel that another server is the primary now, and has everybody on this host connect to that one.

After a failover that was asked for, the old primary takes writes for ten seconds more: they are lost. One that is
stopped says nothing at all. So nobody waits until a connection breaks. Sentinels tell each other within a moment, and a
connection that is made in between may lead to the old one: a while later all connect once more.
If no sentinel can be heard, the supervisor's own connection breaks in time, and when it is there again, all follow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from distq.broker import sentinel
from distq.broker.connect import ServerError, Wire
from distq.broker.links import Links
from distq.broker.scripts import encode
from distq.errors import BrokerUnavailable

logger = logging.getLogger("distq.supervisor")

CHANNELS = ("+switch-master", "+promoted-slave")
ONCE_MORE_S = 1.5
LISTEN_AGAIN_S = 1.0

NEVER = float("inf")


class Connection(Protocol):
    """What the supervisor's loop knows of its connections."""

    def fileno(self) -> int | None: ...  # noqa: D102
    def deadline(self) -> float: ...  # noqa: D102
    def work(self) -> None: ...  # noqa: D102
    @property
    def hears(self) -> Callable[[], None]: ...  # noqa: D102


def switches(url: str, links: Sequence[Links], poke_all: Callable[[bytes], None]) -> list[Connection]:
    """One, if there are sentinels; `links[0]` is the connection that is in use all the time."""
    return [Switches(url, links, poke_all)] if sentinel.is_sentinel(url) else []


class Switches:
    """A connection to one sentinel, on which it tells of failovers."""

    def __init__(self, url: str, links: Sequence[Links], poke_all: Callable[[bytes], None]) -> None:
        self._url, self._links, self._poke_all = url, tuple(links), poke_all
        self._name = sentinel.read(url).name
        self._wire: Wire | None = None
        self._listen_at, self._once_more_at = 0.0, NEVER
        self._was_failing = False
        self._is_deaf = False
        self.hears = partial(self.readable)

    def fileno(self) -> int | None:
        """The socket, while there is one."""
        return None if self._wire is None else self._wire.fileno()

    def deadline(self) -> float:
        """When `work` wants to be called."""
        return min(self._once_more_at, self._listen_at if self._wire is None else NEVER)

    def work(self) -> None:
        """Listens, and has all connect again when it is time for that."""
        now = time.monotonic()
        if self._wire is None and now >= self._listen_at:
            self._listen()
        is_failing = self._links[0].failing_since is not None
        if now >= self._once_more_at or (self._was_failing and not is_failing):
            self._once_more_at = NEVER
            self._all_again(self._links[1:] if self._was_failing else self._links)
        self._was_failing = self._links[0].failing_since is not None

    def readable(self) -> None:
        """The sentinel says something, or is gone."""
        if self._wire is None:
            return
        try:
            told = [self._wire.read()]
            while self._wire.has_more:
                told.append(self._wire.read())
        except (BrokerUnavailable, ServerError):
            self._wire.close()
            self._wire, self._listen_at = None, time.monotonic() + LISTEN_AGAIN_S
            return
        if any(self._is_ours(message) for message in told):
            logger.warning("another server is the primary %r now", self._name)
            self._once_more_at = time.monotonic() + ONCE_MORE_S
            self._all_again(self._links)

    def _is_ours(self, message: list[bytes]) -> bool:
        return message[0] == b"message" and self._name.encode() in message[2].split()

    def _all_again(self, links: Sequence[Links]) -> None:
        for link in links:
            link.connect_again()
        self._poke_all(b"m")

    def _listen(self) -> None:
        why: Exception | None = None
        for place in sentinel.places(self._url):
            try:
                self._wire = Wire(place, timeout=sentinel.ASK_S, name="distq-switches")
                self._wire.request(encode("SUBSCRIBE", *CHANNELS))
                self.hears, self._is_deaf = partial(self.readable), False
                return
            except (BrokerUnavailable, ServerError) as error:
                self._wire, why = None, error
        self._listen_at = time.monotonic() + LISTEN_AGAIN_S
        if not self._is_deaf:
            self._is_deaf = True
            logger.warning("no sentinel tells this host of failovers: %s", why)
