"""Who has to confirm a durable call, and whether it has. It sends nothing: it makes commands and reads their replies.

Which replica a failover will promote nobody knows before, so all have to confirm that may be. One that leaves its
primary may have been promoted: as long as that can be, it is missed, and what the others confirm is not enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from distq.broker.scripts import Reply, encode

ROLE = encode("ROLE")
ABSENT_S = 2.0
"""A replica that has been missed for so long is down, where no sentinel says so. Calls have to bear that with the
default `timeout`: the first one finds out in CONFIRM_S, the second time this is over."""


class Witness(Protocol):
    """What durable calls of one connection wait for."""

    @property
    def command(self) -> bytes:
        """Goes out behind the call. Two replies: of whoever confirms, and of ROLE."""

    def confirms(self, reply: Reply, role: Reply) -> bool:
        """Whether they say that the call is safe."""

    def lack(self, reply: Reply) -> str:
        """Who has not confirmed, for people: the beginning of a sentence."""


class Disk:
    """The server's own, where there is no replica. When one has come, that has to confirm."""

    def __init__(self, wait_ms: int) -> None:
        self.command = encode("WAITAOF", 1, 0, wait_ms) + ROLE

    def confirms(self, reply: Reply, role: Reply) -> bool:
        """Whether the disk has it, and no replica has come."""
        return bool(reply[0]) and not role[2]

    def lack(self, reply: Reply) -> str:
        """The beginning of a sentence."""
        return "the disk has not"


class Replicas:
    """All replicas of one server, of which this process remembers the number: one that has left is not in ROLE."""

    def __init__(self, wait_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_ms, self._clock = wait_ms, clock
        self._missed_since: float | None = None
        self._expect(1)

    @property
    def command(self) -> bytes:
        """Waits for all."""
        return self._command

    def meet(self, role: Reply, believed: int | None, has_sentinel: bool) -> None:
        """On a new connection: so many are there, and a sentinel believes in so many (None: none answers)."""
        there = _attached(role)
        if believed is None and there < self.number:
            since = self._missed_since = self._missed_since or self._clock()
            believed = self.number if has_sentinel or self._clock() - since < ABSENT_S else 0
        self._expect(max(1, there, believed or 0))

    def confirms(self, reply: Reply, role: Reply) -> bool:
        """Whether all have it, also one that came meanwhile: it may be the next to be promoted."""
        self._expect(max(self.number, _attached(role)))
        has_all = bool(reply >= self.number)
        self._missed_since = None if has_all else self._missed_since or self._clock()
        return has_all

    def lack(self, reply: Reply) -> str:
        """The beginning of a sentence."""
        return f"{reply} of {self.number} replicas have" if reply else "no replica has"

    def _expect(self, number: int) -> None:
        self.number, self._command = number, encode("WAIT", number, self._wait_ms) + ROLE


def _attached(role: Reply) -> int:
    """How many replicas have loaded what they were sent: those that load cannot be promoted, and confirm nothing."""
    return sum(int(offset) > 0 for _, _, offset in role[2])
