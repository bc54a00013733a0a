"""The line of a worker whose queues are on several nodes of a cluster, where no command touches two of them.

It waits on a connection for each. A node that is away does not hold up the queues of others, unless something has to be
settled there: then the line insists, as any other does.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Sequence

from distq.broker import cluster, verbs
from distq.broker.connect import ServerError
from distq.broker.scripts import encode
from distq.broker.verdicts import NO_VERDICTS
from distq.errors import BrokerUnavailable
from distq.worker.line import BLOCK_S, REPLY_S, Announced, Line

AWAY_S = 0.25
"""A queue whose node does not answer is left alone for so long, or as long as it took to see that."""


def open_line(
    url: str, prefixes: Sequence[str], host: str, info: str, lease_ms: int, announced: Announced, poke: int,
    order: Callable[[], int], block_s: float = BLOCK_S,
) -> Line:  # fmt: skip
    """The line of a worker of these queues."""
    kind = SpreadLine if len(cluster.grouped(url, prefixes)) > 1 else Line
    return kind(url, prefixes, host, info, lease_ms, announced, poke, order, block_s)


class SpreadLine(Line):
    """A line to several places."""

    is_spread = True

    def __init__(
        self, url: str, prefixes: Sequence[str], host: str, info: str, lease_ms: int, announced: Announced, poke: int,
        order: Callable[[], int], block_s: float = BLOCK_S,
    ) -> None:  # fmt: skip
        super().__init__(url, prefixes, host, info, lease_ms, announced, poke, order, block_s)
        self._away: dict[int, float] = {}
        """Queues whose node does not answer, and when to try again."""
        self._unasked: dict[int, verbs.Command[verbs.Step] | None] = {}
        """Those that are to be asked when it does, and a step that it may have run already."""

    def register(self, takes: verbs.Takes) -> None:
        """Takes a fresh name: steps of the old one are void."""
        self._unasked.clear()
        super().register(takes)

    def ask(self, queue: int, want: int, room: int) -> verbs.Step | None:
        """See `Line.ask`. What may have been run although nobody answered is sent again first, with its number."""
        if queue in self._away and time.monotonic() < self._away[queue]:
            return None
        command = self._unasked.pop(queue, None) or self._next_step(queue, want, room, NO_VERDICTS)
        began = time.monotonic()
        try:
            answer = self._connected(queue).run(command)
        except (BrokerUnavailable, ServerError) as error:
            self._lost(queue, began, error)
            self._unasked[queue] = command
            return None
        self._answered(queue)
        return answer

    def wait(self, want: int, room: int) -> tuple[int | None, verbs.Step | None]:
        """See `Line.wait`: here on a connection for each queue.

        Only an idle worker may take markers. So when one has come, the other connections stop to wait before anything
        runs; and if a marker has come there, too, a step sets it again.
        """
        told: list[int] = []
        called = False
        while not (told or called):
            numbers = self.listen(range(len(self._prefixes)))
            told = [queue for queue in self._unasked if queue not in self._away]
            if not told:
                timeout = min([self._block_s + REPLY_S, *self._pauses()])
                readable, _, _ = select.select([self._poke, *numbers], [], [], max(0.0, timeout))
                called = self._poke in readable
                answers = [self._answer(number) for number in numbers if number in readable]
                told = [queue for queues, is_marked in answers if is_marked for queue in queues]
        first, *others = dict.fromkeys([*told, *self._hush()]) or (None,)
        for queue in others:
            if queue is not None and queue not in self._unasked:
                self.ask(queue, 0, 0)
        return first, None

    def _hush(self) -> list[int]:
        """Ends all listening; the queues of which a marker has come meanwhile."""
        told: list[int] = []
        give_up = time.monotonic() + self._reply_s
        while self._listening:
            asked = [queue for queue in list(self._listening) if self._tries(queue, self._begin_to_hush)]
            quiet = {queue: self._tries(queue, self._is_hushed, told, give_up) for queue in asked}
            if not all(quiet.values()) and self._listening and time.monotonic() > give_up:
                told += self.stop_listening()  # they are not where the steps go
        return told

    def _begin_to_hush(self, queue: int) -> bool:
        self._connected(queue).send(encode("CLIENT", "UNBLOCK", self._ids[queue]))
        return True

    def _is_hushed(self, queue: int, told: list[int], give_up: float) -> bool:
        patience = max(0.05, give_up - time.monotonic())  # all were asked at once
        ear, woken = self._ears[queue], self._connected(queue).read(patience)
        if not (woken or select.select([ear.fileno()], [], [], 0.001)[0]):
            return False
        told += [queue] if ear.read(self._reply_s) is not None else []
        del self._listening[queue]
        return True

    def drop(self) -> None:
        """Closes all connections; those that were away are tried anew."""
        super().drop()
        self._away.clear()

    def _lost(self, queue: int, began: float, error: Exception) -> None:
        for wire in (self._wires.pop(self._places[queue], None), self._ears.pop(queue, None)):
            if wire is not None:
                wire.close()
        self._listening.pop(queue, None)
        now = time.monotonic()
        until = now + max(AWAY_S, now - began)
        self._away = dict.fromkeys([queue, *self._away], until)  # one at a time is tried: they may be of one node
        self._unasked.setdefault(queue, None)
        self.drops += 1
        self._say(error)

    def _pauses(self) -> Iterator[float]:
        """How long until those that are away are tried again."""
        return (at - time.monotonic() for queue, at in self._away.items() if self._takes[queue] != "nothing")

    def _may_listen(self, queue: int, now: float) -> bool:
        return super()._may_listen(queue, now) and now >= self._away.get(queue, 0.0)

    def _listen_to(self, queue: int) -> bool:
        is_listening = super()._listen_to(queue)
        self._away.pop(queue, None)
        return is_listening

    def _answered(self, queue: int) -> None:
        self._away.pop(queue, None)
        if not self._away:
            super()._answered(queue)
