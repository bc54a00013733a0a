"""A connection for a selector loop: commands go out when they are given, answers come to callbacks, nothing blocks.

For the supervisor, which must notice dead children while the broker hangs. After a failure it connects again, with
growing pauses, and sends everything unanswered again, in order: its verbs recognize what they have already done. What
the broker refuses for good (a key of the wrong type, a missing right) must not hold up what is behind it: it is logged,
and dropped, or tried again later if it has to be done. What has to be done in one queue keeps its order even so: a
worker's later verdicts, or its end, must not overtake its earlier verdicts.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import compress
from operator import not_
from typing import Any, NamedTuple

from distq.broker.connect import PASSING, ServerError, Wire
from distq.broker.verbs import Command
from distq.errors import BrokerUnavailable

logger = logging.getLogger("distq.supervisor")

Answer = Callable[[Any], None]

AGAIN_S = 1.0
"""Pause before what was refused, and has to be done, is sent again."""
REST_S = 2.0
"""Longest time for the rest of a reply that has begun to come, and for the answer to a greeting."""
MOST_PAUSE_S = 1.0
"""Longest pause before it connects again."""
SAY_AGAIN_S = 60.0
LOST = (*PASSING, "NOAUTH", "WRONGPASS")
"""Refusals after which another connection may be luckier."""


class _Order(NamedTuple):
    command: Command[Any] | bytes
    answer: Answer
    refused: Callable[[], None] | None
    """None: it has to be done."""

    @property
    def name(self) -> str:
        return self.command.verb.name if isinstance(self.command, Command) else "a command"

    @property
    def queue(self) -> bytes:
        """The hash tag of its keys."""
        data = self.command.data if isinstance(self.command, Command) else self.command
        return data[data.find(b"{") : data.find(b"}") + 1]


class Link:
    """One connection with a queue of commands, one outstanding at a time."""

    def __init__(self, url: str, name: str, *, silence_s: float, pause_s: float = MOST_PAUSE_S) -> None:
        self._url, self._name, self._silence_s = url, name, silence_s
        self._most_pause_s = min(pause_s, MOST_PAUSE_S)
        self._wire: Wire | None = None
        self._commands: deque[_Order] = deque()
        self._later: dict[bytes, list[_Order]] = {}
        """By queue: what was refused and has to be done, and what has to be done after it."""
        self._again_at: dict[bytes, float] = {}
        self._say_at: dict[str, float] = {}
        self._sent_at: float | None = None
        self._retry_at, self._pause = 0.0, 0.02
        self.failing_since: float | None = None
        self.returns = 0
        """How often the broker has answered after it was away."""
        self.on_return: Callable[[], None] = lambda: None
        """Called when the broker answers after it was away."""
        self.hears = partial(self.readable)
        """What to call when the socket is readable: another object for each connection, since a new one may have the
        number of the old one, of which a selector then knows nothing."""

    @property
    def is_idle(self) -> bool:
        """Nothing is waiting for an answer."""
        return not self._commands and not self._later

    def fileno(self) -> int | None:
        """The socket, while there is one."""
        return None if self._wire is None else self._wire.fileno()

    def submit(self, command: Command[Any] | bytes, answer: Answer, refused: Callable[[], None] | None = None) -> None:
        """Runs a command some time; `answer` gets what it parses to (or a plain command's reply).

        If the broker refuses it for good, `refused` is called; without one it is tried again until it is done.
        """
        order = _Order(command, answer, refused)
        if refused is None and order.queue in self._later:
            self._later[order.queue].append(order)
        else:
            self._commands.append(order)
        self.work()

    def deadline(self) -> float:
        """When `work` wants to be called again even if nothing is readable (monotonic seconds)."""
        later = min(self._again_at.values(), default=float("inf"))
        if not self._commands:
            return later
        return min(later, self._retry_at if self._sent_at is None else self._sent_at + self._silence_s)

    def work(self) -> None:
        """Sends what can be sent; gives up on a connection that has been silent for too long."""
        now = time.monotonic()
        if self._sent_at is not None and now > self._sent_at + self._silence_s:
            self._failed(BrokerUnavailable("no answer in time"))
        for queue in [queue for queue, at in self._again_at.items() if at <= now]:
            del self._again_at[queue]
            self._commands.extend(self._later.pop(queue))
        if not self._commands or self._sent_at is not None or now < self._retry_at:
            return
        command = self._commands[0].command
        try:
            if self._wire is None:
                self._wire = Wire(self._url, timeout=2.0, name=self._name, waits=False)
                self.hears = partial(self.readable)
            self._wire.send(command if isinstance(command, bytes) else command.data)
            self._sent_at = time.monotonic()
            if self._wire.is_new:
                self._hurry()
        except BrokerUnavailable as error:
            self._failed(error)

    def readable(self) -> None:
        """The socket is readable: takes the answer, then sends the next command."""
        if self._wire is None:
            return
        if not self._commands or self._sent_at is None:
            self._failed(BrokerUnavailable("closed by the broker"))
            return
        command, answer, _ = self._commands[0]
        try:
            was_new = self._wire.is_new
            reply = self._wire.poll()
            if reply is False:
                if has_answered := was_new and not self._wire.is_new:
                    self._sent_at = time.monotonic()
                if not has_answered or self._wire.has_more:
                    self._hurry()
                return
        except ServerError as error:
            if error.code == "NOSCRIPT" and isinstance(command, Command):
                self._load(command)
            elif error.code in LOST:
                self._failed(error)
            else:
                self._refused(error)
            return
        except BrokerUnavailable as error:
            self._failed(error)
            return
        self._commands.popleft()
        self._answered()
        answer(command.parse(reply) if isinstance(command, Command) else reply)
        self.work()

    def _hurry(self) -> None:
        """A reply has begun, or is one to a greeting: `work` gives it up if it is long in coming."""
        assert self._sent_at is not None
        self._sent_at = min(self._sent_at, time.monotonic() + REST_S - self._silence_s)

    def connect_again(self) -> None:
        """Another server may be the right one now: what is unanswered is sent to that."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._sent_at, self._retry_at = None, 0.0
        self.work()

    def close(self) -> None:
        """Drops the connection and everything that was not answered."""
        self._commands.clear()
        self._later.clear()
        self._again_at.clear()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _load(self, command: Command[Any]) -> None:
        """The script first, then the command again."""
        self._commands.appendleft(_Order(command.verb.load_command(), lambda reply: None, lambda: None))
        self._sent_at = None
        self.work()

    def _answered(self) -> None:
        was_away = self.failing_since is not None
        self._sent_at, self._pause, self.failing_since = None, 0.02, None
        if was_away:
            self.returns += 1
            self.on_return()

    def _refused(self, error: ServerError) -> None:
        order, now = self._commands.popleft(), time.monotonic()
        self._answered()
        if now >= self._say_at.get(order.name, 0.0):
            self._say_at[order.name] = now + SAY_AGAIN_S
            logger.error("the broker refuses %s: %s", order.name, error)
        if order.refused is None:
            queue, others = order.queue, list(self._commands)
            behind = [other.refused is None and other.queue == queue for other in others]
            self._later[queue] = [order, *compress(others, behind)]
            self._commands = deque(compress(others, map(not_, behind)))
            self._again_at[queue] = now + AGAIN_S
        else:
            order.refused()
        self.work()

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        if self.failing_since is None:
            self.failing_since = now
            logger.warning("connection %s: %s", self._name, error)
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._sent_at = None
        self._retry_at = now + self._pause * random.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2, self._most_pause_s)
