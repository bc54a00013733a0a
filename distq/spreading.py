"""Sending calls to a queue that has several partitions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from distq import message
from distq.options import Call
from distq.result import Handle
from distq.sender import Sender, spreads_over

if TYPE_CHECKING:
    from distq.app import Distq

P = ParamSpec("P")
R = TypeVar("R")


class SpreadSender(Sender[P, R]):
    """For a queue with several partitions: each call, or thousand of calls, goes to the next one.

    Each partition is a queue of the broker, and has a sender of its own. To middleware this is that of the whole queue.
    """

    __slots__ = ("_each", "_turns")

    def __init__(self, app: Distq, type: str, call: Call, bind: Callable[[Any, Any], None], count: int) -> None:
        super().__init__(app, type, call, bind)
        names = message.partitions(call.queue, count)
        first = random.randrange(count)  # else all programs that make one call would use the same one
        self._turns = cycle(names[first:] + names[:first])
        self._each: dict[str, Sender[P, R]] = {}

    def _next(self) -> Sender[P, R]:
        name = next(self._turns)
        found = self._each.get(name)
        if found is None:
            found = self._each[name] = Sender(self._app, self.type, replace(self._call, queue=name), self._bind)
        return found

    def _send(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> Handle[R]:
        return self._next()._send(args, kwargs, headers)

    async def _asend(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> Handle[R]:
        return await self._next()._asend(args, kwargs, headers)


def sender(app: Distq, type: str, call: Call, bind: Callable[[Any, Any], None]) -> Sender[Any, Any]:
    """What sends such calls."""
    count = spreads_over(app, call)
    return Sender(app, type, call, bind) if count == 1 else SpreadSender(app, type, call, bind, count)
