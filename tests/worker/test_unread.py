"""A step whose answer is not read: whichever side comes first at each turn, every attempt begins once and none is lost.

The real parts by hand, in every order: the child's hand, the supervisor's watch, the broker's scripts.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from distq.broker import verbs
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.supervisor.service import Site
from distq.supervisor.watch import Watch
from distq.worker.board import BUSY, STATE, Board
from distq.worker.hand import Hand, Item, releases
from tests.support.room import Room, completed, retried
from tests.worker.test_hand import HOUR_NS

LATER = 1e9
CHILD = ("collect", "send", "read", "run") * 2
SUPERVISOR = ("revoke", "settle", "look again")
MEANWHILE = ("revoke", "settle", "come back", "look again")


def orders(others: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each way in which the child and the others can take turns."""
    number = len(CHILD) + len(others)
    for places in itertools.combinations(range(number), len(others)):
        child, supervisor = iter(CHILD), iter(others)
        yield tuple(next(supervisor if place in places else child) for place in range(number))


class Stage:
    """A child with two seats. Seat 0 has a handler that is long in coming back; seat 1 has ended one; one waits."""

    def __init__(self, room: Room, first_ends: Callable[[bytes], bytes]) -> None:
        self.room, self.begun, self.fails = room, Counter[bytes](), first_ends
        self.me, self.other = room.register(), room.register()
        here = Board(1, 2)
        self.slot = here.slots[0]
        self.slot.clear()
        self.hand = Hand(self.slot, 2)
        self.hand.enter(self.me.name, time.monotonic_ns() + HOUR_NS)
        self.calls: list[tuple[Any, Callable[[Any], None]]] = []
        link = SimpleNamespace(submit=lambda command, told: self.calls.append((command, told)))
        site = SimpleNamespace(board=here, link=link, prefixes=[room.prefix], numbers=itertools.count(1))
        self.watch = Watch(cast("Site", site))
        self.sent, self.want = NO_VERDICTS, 0
        self.answer: verbs.Step | None = None
        self.ids = [room.enqueue().encode() for _ in range(6)]
        self.collect(3)
        self.send()
        self.read()
        self.keeper = self.start(0)
        last = self.start(1)
        assert (self.keeper, last) == tuple(self.ids[:2])
        self.hand.end(1, time.monotonic_ns(), first_ends(last))

    def start(self, seat: int) -> bytes:
        item = self.hand.start(seat, time.monotonic_ns())
        if item is None:
            return b""
        self.begun[item[0]] += 1
        return item[0]

    # -- the child ---------------------------------------------------------------------------------------------------

    def collect(self, want: int = 2) -> None:
        self.want = want
        mine = self.hand.collect(0, self.me.number, asks=True)
        dropped = releases(self.hand.take_dropped(0))
        self.sent = Verdicts(dropped.number + mine.number, dropped.items + mine.items)

    def send(self) -> None:
        self.me.number += 1
        command = verbs.step(
            self.room.prefix, self.me.name, self.me.number, self.want, 1 << 20, self.me.digest, self.sent
        )
        self.answer = self.room.run(command)
        assert self.answer.word == "ok"

    def read(self) -> None:
        assert self.answer is not None
        items: list[Item] = [(entry, b"", 0, 0, time.monotonic_ns()) for entry in self.answer.entries]
        self.hand.settled(items)

    def run(self) -> None:
        if entry := self.start(1):
            self.hand.end(1, time.monotonic_ns(), completes(entry))

    # -- the supervisor, and a worker that takes at once what goes back ------------------------------------------------

    def revoke(self) -> None:
        self.watch.take_away(self.slot)

    def settle(self) -> None:
        calls, self.calls = self.calls, []
        for command, told in calls:
            told(self.room.run(command))
        self.elsewhere()

    def look_again(self) -> None:
        self.watch._look_again(LATER + time.monotonic())
        self.settle()

    def elsewhere(self) -> None:
        taken = self.room.step(self.other).entries
        self.begun.update(taken)
        self.room.step(self.other, 0, [completes(entry) for entry in taken])

    # -- the end -----------------------------------------------------------------------------------------------------

    def come_back(self) -> None:
        self.hand.end(0, time.monotonic_ns(), completes(self.keeper))
        self.keeper = b""

    def finish(self) -> None:
        """The handler comes back after all; everybody works until nothing is left."""
        self.settle()
        if self.keeper:
            self.come_back()
        while self.slot.words[STATE] == BUSY or self.hand.unsettled:
            self.collect()
            self.send()
            self.read()
            self.run()
            self.look_again()
        self.elsewhere()


def completes(entry: bytes) -> bytes:
    return completed(entry.decode())


def fails(entry: bytes) -> bytes:
    """It is tried again at once."""
    return retried(entry.decode(), 0)


@pytest.mark.parametrize("first_ends", [completes, fails])
@pytest.mark.parametrize("others", [SUPERVISOR, MEANWHILE], ids=len)
def test_in_whatever_order_each_attempt_begins_once_and_none_is_lost(
    room: Room, others: Sequence[str], first_ends: Callable[[bytes], bytes]
) -> None:
    for order in orders(others):
        stage = Stage(room, first_ends)
        for turn in order:
            getattr(stage, turn.replace(" ", "_"))()
        stage.finish()
        again = stage.ids[1] if first_ends is fails else b""
        assert stage.begun == {id: 2 if id == again else 1 for id in stage.ids}, order
        assert {room.where(id.decode()) for id in stage.ids} == {"completed"}, order
        room.redis.flushall()
