"""A worker's line to the broker: one connection, a name, and numbered steps. It knows no messages and runs nothing.

A step whose reply was lost is sent again with its number; the broker then settles nothing twice. When the broker is
away the line waits for it, as long as the supervisor does not tell the worker to end.
"""

from __future__ import annotations

import logging
import os
import random
import select
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from distq.broker import cluster, dial, keys, reach, verbs
from distq.broker.connect import PASSING, ServerError, Wire
from distq.broker.scripts import Script, encode
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.errors import BrokerUnavailable, LayoutMismatch
from distq.worker.board import QUIT, RUN
from distq.worker.shares import Shares

logger = logging.getLogger("distq.worker")

BLOCK_S = 20.0
MOST_BLOCK_S = 600.0
"""Longest wait for a marker. Only a safety net: whatever becomes runnable sets one. The more connections of a host
wait, the longer each does, so that it sends no more commands for them."""
REPLY_S = 5.0
SAY_AGAIN_S = 60.0
DEAF_S = 1.0
"""What was refused for good (a missing right, a key of the wrong type) would be refused again at once."""

NOTHING, NONE_LEFT = verbs.Step("ok", 0, 0, 0, 0, [], []), verbs.Recovery("ok", 0, 0, 0, 0, 0)
"""What a queue answers whose keys somebody has broken."""


class Ended(Exception):
    """The supervisor wants this worker to end now."""


class Way(NamedTuple):
    """How a worker takes part in a queue, if not as it takes part in others."""

    takes: verbs.Takes | None = None
    """None: as it says when it registers."""
    apart: tuple[str, ...] = ()
    """Types that have lanes of their own there."""


class Announced(NamedTuple):
    """What a worker says of itself in each queue."""

    types: Sequence[str]
    """Lanes that it takes from."""
    digest: str
    """The name of all who take from the same."""
    limits: Sequence[dict[str, tuple[str, bytes]]]
    """Per queue, by type, as `verbs.register` takes them."""
    ways: Sequence[Way] = ()
    """Per queue; empty: everywhere as it says when it registers."""
    shares: Shares | None = None
    """Types of which its process runs only some at a time."""
    weights: Sequence[str] = ()
    """Per queue, how its priorities share it; empty: nothing is said of that."""


class Line:
    """The registered connection of one worker to all its queues."""

    is_spread = False
    """Whether the queues are in several places, of which one may be away while the others are there."""

    def __init__(
        self, url: str, prefixes: Sequence[str], host: str, info: str, lease_ms: int, announced: Announced, poke: int,
        order: Callable[[], int], block_s: float = BLOCK_S,
    ) -> None:  # fmt: skip
        self._prefixes = list(prefixes)
        self._host, self._info, self._lease_ms = host, info.encode(), lease_ms
        self._types, self._digest, self._limits = announced[:3]
        self._ways = announced.ways or [Way()] * len(self._prefixes)
        self._shares = announced.shares
        self._weights = announced.weights or [""] * len(self._prefixes)
        self._poke, self._order = poke, order
        self._reply_s = reach.patience(url, REPLY_S)
        self._places = [cluster.place(url, prefix) for prefix in self._prefixes]
        self._block_s = min(block_s * len(self._prefixes), MOST_BLOCK_S)
        self._wires: dict[str, Wire] = {}
        """One for all queues, or in a cluster one for each."""
        self._ahead: tuple[int, verbs.Command[verbs.Step]] | None = None
        self._ears: dict[int, Wire] = {}
        self._ids: dict[int, int] = {}
        """What the broker calls the connections on which this worker listens, if that is to be ended."""
        self._deaf: dict[int, Collection[str]] = {}
        """Markers for which those do not wait, since there was no room for what they tell of."""
        self._listening: dict[int, float] = {}
        self._takes: Sequence[verbs.Takes] = ()
        """Per queue."""
        self.drops = 0
        """How often connections were dropped: with them a marker may have gone, of any queue."""
        self._deaf_until = 0.0
        """The broker refuses to have us wait: until then we do not ask for it."""
        self._complain_at: dict[str, float] = {}
        self._failing_since: float | None = None
        self.on_return: Callable[[], None] = lambda: None
        """Called when the broker answers after it was away."""
        self._say_at = {False: 0.0, True: 0.0}
        """When to say again that the broker is away, or does not let us in."""
        self.name = ""
        self.registered_ns = 0
        self._numbers = [0] * len(self._prefixes)

    def register(self, takes: verbs.Takes) -> None:
        """Takes a fresh name and a lease for it in each queue. Raises LayoutMismatch."""
        self._takes = [way.takes or takes for way in self._ways]
        self.name = f"{self._host}:{os.getpid()}:{os.urandom(4).hex()}"
        self._numbers = [0] * len(self._prefixes)
        self.registered_ns = time.monotonic_ns()
        for queue, prefix in enumerate(self._prefixes):
            shares = self._shares.at(prefix) if self._shares else ()
            lanes = verbs.Lanes(self._ways[queue].apart, shares, self._weights[queue])
            command = verbs.register(
                prefix, self.name, self._host, self._lease_ms, self._digest, self._info, self._takes[queue],
                self._types, self._limits[queue], lanes,
            )  # fmt: skip
            word, value = self._insist(queue, command, ["broken", ""])
            if word == "layout":
                raise LayoutMismatch(f"the broker's keys have layout {value}, this release knows layout {keys.LAYOUT}")

    def step(self, queue: int, want: int, room: int, verdicts: Verdicts) -> verbs.Step:
        """Settles and reserves in one round trip."""
        command = self._next_step(queue, want, room, verdicts)
        return self._insist(queue, command, None if verdicts.number else NOTHING)

    def ask(self, queue: int, want: int, room: int) -> verbs.Step | None:
        """A step that settles nothing. None: its node is away, and there are others."""
        return self.step(queue, want, room, NO_VERDICTS)

    def begin_step(self, queue: int, want: int, room: int, verdicts: Verdicts) -> None:
        """Sends a step; `end_step` reads the answer. Nothing else is sent to the broker in between."""
        command = self._next_step(queue, want, room, verdicts)
        self._ahead = queue, command
        try:
            self._connected(queue).send(command.data)
        except (BrokerUnavailable, ServerError) as error:
            self._failed(error, command.verb)

    def end_step(self) -> verbs.Step:
        """The answer to the step that was begun."""
        assert self._ahead is not None
        (queue, command), self._ahead = self._ahead, None
        wire = self._wires.get(self._places[queue])
        if wire is not None:
            try:
                return command.parse(wire.read(self._reply_s))
            except (BrokerUnavailable, ServerError) as error:
                self._failed(error, command.verb)
        return self._insist(queue, command)

    @property
    def is_ahead(self) -> bool:
        """Whether a step was begun whose answer was not read."""
        return self._ahead is not None

    def number(self, queue: int) -> int:
        """The number of the last step."""
        return self._numbers[queue]

    def wait(self, want: int, room: int) -> tuple[int | None, verbs.Step | None]:
        """Blocks until something may be runnable: (queue, what was reserved there).

        With one queue the step is already behind the blocking pop, in the same write: the server runs it the instant
        that a marker appears, so a wake-up costs one hop. None as the queue: nothing is known, ask all of them.
        """
        block = self._block(range(len(self._prefixes)))
        command = self._next_step(0, want, room, NO_VERDICTS) if len(self._prefixes) == 1 else None
        try:
            wire = self._connected(0)
            wire.send(block + (command.data if command else b""))
            while self._until_readable(wire):
                marker = wire.read(self._reply_s)
                if command is not None:
                    return 0, command.parse(wire.read(self._reply_s))
                if marker is not None:
                    return self._queue_of(marker), None
                wire.send(block)
            self.drop()
        except (BrokerUnavailable, ServerError) as error:
            if not self._is_deaf(error) and (not isinstance(error, ServerError) or error.code != "NOSCRIPT"):
                self._failed(error)
        select.select([self._poke], [], [], max(0.0, self._deaf_until - time.monotonic()))
        # The step may have been run all the same: the broker is asked again, unless leave() gives everything back.
        if command is None or self._order() != RUN:
            return None, None
        return 0, self._insist(0, command)

    def _tries(self, queue: int, act: Callable[..., bool], *args: object) -> bool:
        """Does something at the node of one queue; the others do not hear of it if it is away."""
        began = time.monotonic()
        try:
            return act(queue, *args)
        except (BrokerUnavailable, ServerError) as error:
            self._lost(queue, began, error)
            return False

    def _lost(self, queue: int, began: float, error: Exception) -> None:
        """The node of this queue does not answer, since `began`; a marker may have gone with the connection."""
        if not self._is_deaf(error):
            self._failed(error)

    def _is_deaf(self, error: Exception) -> bool:
        """Whether the broker refuses to have us wait, and would do so again: then the queues are asked now and then."""
        if not isinstance(error, ServerError) or error.code in (*PASSING, "NOSCRIPT", "NOAUTH", "WRONGPASS"):
            return False
        self._deaf_until = time.monotonic() + DEAF_S
        self._complain("the broker refuses to tell of new tasks, so that they start late: %s", error)
        self.drop()
        return True

    def _complain(self, said: str, *of: object) -> None:
        """Of what stays as it is until somebody mends it; once a minute."""
        now = time.monotonic()
        if now >= self._complain_at.get(said, 0.0):
            self._complain_at[said] = now + SAY_AGAIN_S
            logger.error(said, *of)

    def _may_listen(self, queue: int, now: float) -> bool:
        return self._takes[queue] != "nothing" and now >= self._deaf_until

    def listen(self, queues: Iterable[int]) -> list[int]:
        """Waits for a marker of each of these queues, each on a connection of its own beside the steps; those that it
        listens to already too. Answers the numbers to select on: none while the broker is away."""
        now = time.monotonic()
        for queue in [queue for queue, since in self._listening.items() if now > since + self._block_s + REPLY_S]:
            del self._listening[queue]  # it had to answer by now
            self._ears.pop(queue).close()
        for queue in queues:
            if self._may_listen(queue, now) and not self._tries(queue, self._listen_to) and not self.is_spread:
                return []
        return [self._ears[queue].fileno() for queue in self._listening]

    def _listen_to(self, queue: int) -> bool:
        if queue not in self._ears:
            self._ears[queue] = ear = Wire(self._places[queue], timeout=self._reply_s, name="distq-worker")
            if self.is_spread or self._shares:
                self._ids[queue] = ear.request(encode("CLIENT", "ID"))
        if queue not in self._listening:
            self._ears[queue].send(self._block([queue]))
            self._listening[queue] = time.monotonic()
            self._deaf[queue] = self._shares.full if self._shares else ()
        elif self._shares and not self._shares.full.issuperset(self._deaf[queue]):  # it answers, and is asked anew
            self._deaf[queue] = ()
            self._connected(queue).request(encode("CLIENT", "UNBLOCK", self._ids[queue]))
        return True

    def heard(self, number: int) -> list[int]:
        """The queues in which there may be something, since this number is readable."""
        return self._answer(number)[0]

    def _answer(self, number: int) -> tuple[list[int], bool]:
        """The queues that are not listened to any more, and whether that is for a marker."""
        queue = next((queue for queue in self._listening if self._ears[queue].fileno() == number), None)
        if queue is None:
            return [], False
        try:
            marker = self._ears[queue].read(self._reply_s)
            del self._listening[queue]
            return [queue], marker is not None
        except (BrokerUnavailable, ServerError) as error:
            self._lost(queue, time.monotonic(), error)
            return ([queue], False) if self.is_spread else (list(range(len(self._prefixes))), True)

    def stop_listening(self) -> list[int]:
        """Afterwards no marker comes to this worker. Answers the queues of which one may just have come: it is gone for
        the others until a step sets it again."""
        told = list(self._listening)
        for ear in self._ears.values():
            ear.hang_up()
        self._ears.clear()
        self._listening.clear()
        return told

    def leave(self) -> None:
        """Gives everything back and ends the name, in each queue."""
        self.stop_listening()
        for queue, prefix in enumerate(self._prefixes):
            left = 1
            while left:
                left = self._insist(queue, verbs.recover(prefix, self.name, "left"), NONE_LEFT).left
        self.drop()

    def drop(self) -> None:
        """Closes all connections; the next call opens a new one."""
        for wire in (*self._wires.values(), *self._ears.values()):
            wire.close()
        self._wires.clear()
        self._ears.clear()
        self._listening.clear()
        self.drops += 1

    def _next_step(self, queue: int, want: int, room: int, verdicts: Verdicts) -> verbs.Command[verbs.Step]:
        self._numbers[queue] += 1
        group = self._shares.told(self._digest) if self._shares else self._digest
        return verbs.step(self._prefixes[queue], self.name, self._numbers[queue], want, room, group, verdicts)

    def _block(self, queues: Iterable[int]) -> bytes:
        wakes = [place for queue in queues for place in self._markers(queue)]
        return encode("BZPOPMIN", *wakes, f"{self._block_s:.0f}")

    def _markers(self, queue: int) -> list[str]:
        """Those for which this worker waits: it can run what they tell of."""
        prefix, takes = self._prefixes[queue], self._takes[queue]
        if takes == "nothing":
            return []
        markers = [keys.key(prefix, "WAKE_GROUP", self._digest)]
        if self._shares:
            markers += [keys.key(prefix, "WAKE_GROUP", group) for group in self._shares.free]
        if takes != "lanes":
            markers.insert(0, keys.key(prefix, "WAKE"))
        if takes in ("all", "only"):
            markers.append(keys.key(prefix, "WAKE_ALONE"))
        return markers

    def _queue_of(self, marker: list[bytes]) -> int:
        key = marker[0].decode()
        return next(i for i, prefix in enumerate(self._prefixes) if key.startswith(prefix))

    def _until_readable(self, wire: Wire) -> bool:
        """False: the supervisor called, or the broker has been silent for longer than it may be."""
        number = wire.fileno()
        readable, _, _ = select.select([number, self._poke], [], [], self._block_s + REPLY_S)
        return number in readable

    def _connected(self, queue: int) -> Wire:
        place = self._places[queue]
        wire = self._wires.get(place)
        if wire is None:
            wire = self._wires[place] = Wire(place, timeout=self._reply_s, name="distq-worker")
        return wire

    def _insist(self, queue: int, command: verbs.Command[verbs.T], broken: verbs.T | None = None) -> verbs.T:
        """Runs a command until the broker has answered it, or the supervisor wants the worker to end. `broken`: what it
        answers if a key of this queue is of a wrong type, and there are others, which must not wait for its repair."""
        pause = 0.02
        while True:
            try:
                answer = self._connected(queue).run(command)
                self._answered(queue)
                return answer
            except (BrokerUnavailable, ServerError) as error:
                if broken is not None and len(self._prefixes) > 1 and str(error).startswith("WRONGTYPE"):
                    self._complain("queue %s: %s", keys.queue_of(self._prefixes[queue]), error)
                    return broken
                self._failed(error, command.verb)
                if self._order() == QUIT:
                    raise Ended from error
                select.select([self._poke], [], [], pause * random.uniform(0.5, 1.0))
                self.hear()
                pause = min(pause * 2, 1.0)

    def hear(self) -> None:
        """Takes the supervisor's calls out of the pipe ("m": the broker was away, or has moved, and what we have may be
        a dead line). Its end means that the supervisor is gone, and so is the lease soon."""
        try:
            while said := os.read(self._poke, 64):
                if b"m" in said:
                    self.drop()
            os._exit(1)
        except BlockingIOError:
            return

    def _failed(self, error: Exception, verb: Script | None = None) -> None:
        self._say(error, verb)
        self.drop()

    def _say(self, error: Exception, verb: Script | None = None) -> None:
        """Once, and again every minute: a broker may be away for long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        refused = dial.is_refusal(str(error))
        if now >= self._say_at[refused]:
            self._say_at[refused] = now + SAY_AGAIN_S
            logger.warning("%s: trying again (%s)", "broker away" if verb is None else verb.name, error)

    def _answered(self, queue: int) -> None:
        if self._failing_since is not None:
            logger.warning("the broker answers again, after %.3g s", time.monotonic() - self._failing_since)
            self._failing_since, self._say_at = None, {False: 0.0, True: 0.0}
            self.on_return()
