"""One worker process: fetch, run, settle, until told to end.

1. registers under a fresh name and holds a lease, which the supervisor renews;
2. reserves what it expects to start within 10 ms, and settles what it has done in the same round trip;
3. runs one message after the other in the main thread, noting each verdict on the board;
4. gives back what it has not started when a task turns out slow, when its lease is lost, or when it shall end.

`distq.worker.pool` does the same with several threads.
"""

from __future__ import annotations

import logging
import os
import select
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import count, repeat
from threading import Lock
from typing import TYPE_CHECKING, Any

from distq.app import Distq
from distq.broker import keys
from distq.broker.verbs import Step, Takes
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.memory import DESK, DESKS
from distq.message import family
from distq.worker import board
from distq.worker.board import LEAVE, MAX_ENTRY_BYTES, ORDER, RUN
from distq.worker.desk import Seat
from distq.worker.everywhere import open_line
from distq.worker.hand import Hand, Item, releases
from distq.worker.interrupt import Doors, Tell, listen
from distq.worker.line import BLOCK_S, Announced, Ended
from distq.worker.meters import Meters
from distq.worker.notes import stay_audible
from distq.worker.pace import MOST, MOST_BYTES, WINDOW_S, Pace, nearly
from distq.worker.post import Post
from distq.worker.stacks import tasks_of
from distq.worker.units import Units, grouped, sizes

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("distq.worker")

WINDOW_NS = int(WINDOW_S * 1e9)
AHEAD = 16
"""A batch of so many, all of which are expected to start within 10 ms, is worth asking for the next one meanwhile."""
AHEAD_PART = 4
"""That is done after a quarter of it: the broker has the time of the rest. (After a half, no-ops with a line in the log
were a sixteenth slower.)"""
RECHECK_S = 0.05
"""A queue that was empty is asked again after this long while others keep the worker busy."""


class Worker:
    """A child: what it is to the broker and to its supervisor. How it works is `_work`'s business."""

    takes: Takes = "all"
    hand_type: type[Hand] = Hand

    def __init__(self, app: Distq, post: Post, seats: int) -> None:
        self._app, self._post, self._slot, self._head = app, post, post.slot, post.board.head
        self._names = [family(queue) for queue in post.queues]
        """What handlers and middleware are told: they know of no partitions."""
        self._line = open_line(
            app.url, [keys.prefix(app.name, queue) for queue in post.queues], post.host, post.info, post.lease_ms,
            self._announcement(), post.poke, self._order, BLOCK_S * len(post.board.slots) / 4,  # half: for successors
        )  # fmt: skip
        self._line.on_return = lambda: post.slot.count(board.RECONNECTS)
        self._batches = sizes(app)
        self._hand = self.hand_type(post.slot, seats, has_units=bool(self._batches))
        self._doors = Doors(post.slot, is_shared=seats > 1)
        self._tell: Tell = self._doors.tell
        self._guard: AbstractContextManager[object] = nullcontext() if seats == 1 else Lock()
        """Around each use of the hand."""
        self._pace = Pace()
        self._executors: dict[int, Units] = {}  # by seat
        self._nearly = nearly(post.max_tasks)

    def run(self) -> None:
        """Works until the supervisor wants it to end; everything is given back by then."""
        listen(self._slot, self._tell)
        try:
            self._register()
            self._work()
            if self._order() == LEAVE:
                self._pass_on()
            self._leave()
            self._hand.leave()
            self._ring(b"e")  # what is closed from here on may hang
        except Ended:
            logger.warning("ending without the broker; its lease will give back what is held")
        self._close()

    def _work(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Nothing runs any more, and nothing is held."""

    def shown(self) -> list[tuple[Item | None, list[asyncio.Task[Any]]]]:
        """What each seat runs, and the tasks of event loops that belong to it."""
        loops = {seat: runs.loop for seat, runs in self._executors.items()}
        return [(item, tasks_of(loops.get(seat))) for seat, item in enumerate(self._hand.running)]

    def _pass_on(self) -> None:
        """Nothing runs, and nothing will: its seat, if it has one, is its successor's."""
        if not self._slot.owes:
            self._slot.words[board.LENT] += 1
            self._ring(b"s")

    def _left(self) -> int:
        """How many more it may take. When there are few, a successor is asked for."""
        most, reserved = self._post.max_tasks, self._hand.reserved
        if not most:
            return MOST
        if reserved >= self._nearly and not self._slot.words[board.SPENT]:
            self._slot.words[board.SPENT] = 1
            self._ring(b"s")
        return max(0, most - reserved)

    def _announcement(self) -> Announced:
        limits = [self._app.limits_of(queue) for queue in self._names]
        weights = [self._app.weights_of(queue) for queue in self._names]
        return Announced(self._post.types, self._post.digest, limits, self._post.ways, weights=weights)

    def _executor(self, meters: Meters, seat: int) -> Units:
        """What runs messages in this thread."""
        desk = Seat(self._post.board, self._slot, self._hand, seat, self._ring)
        DESK.set(desk)
        DESKS.append(desk)
        door = self._doors.new(seat, (Units.run.__code__, Units.run_unit.__code__), Units._call.__code__)
        self._executors[seat] = runs = Units(self._app, lambda: self._line.name, meters, desk, door)
        return runs

    def _register(self) -> None:
        self._line.register(self.takes)
        with self._guard:
            self._hand.enter(self._line.name, self._line.registered_ns + self._post.lease_ms * 1_000_000)
        self._ring(b"r")

    def _leave(self) -> None:
        """Ends the name when what the supervisor settles for it has arrived: else that would go back, and run twice."""
        while self._slot.words[board.SETTLING]:
            select.select([self._post.poke], [], [], 0.005)
            self._line.hear()
        self._line.leave()

    def _begin_again(self) -> None:
        """The broker says that this worker holds something, and it does not: all goes back, under a new name."""
        logger.warning("worker %s: the broker has it hold what it does not: giving that back", self._line.name)
        self._leave()
        self._register()

    def _begin_anew(self) -> None:
        """The lease is lost: others may run what it held."""
        logger.warning("worker %s has lost its lease; going on under a new name", self._line.name)
        self._slot.count(board.LEASE_LOSSES)
        self._register()

    def _step(self, queue: int, want: int, back: Verdicts = NO_VERDICTS) -> Step:
        """Settles what is finished of this queue, and `back`; takes what the broker hands out into the hand."""
        step = self._line.step(queue, want, MOST_BYTES, self._collect(queue, back, want > 0))
        if step.word == "ok":
            self._take(queue, step)
        return step

    def _collect(self, queue: int, back: Verdicts = NO_VERDICTS, asks: bool = False) -> Verdicts:
        if logger.disabled:
            stay_audible()
        self._post.write_lines(self._slot)  # whoever sees that a task has ended finds the line about it
        with self._guard:
            verdicts = self._hand.collect(queue, self._line.number(queue), asks)
            dropped = releases(self._hand.take_dropped(queue))
        parts = (dropped, verdicts, back)
        return Verdicts(sum(part.number for part in parts), b"".join([part.items for part in parts]))

    def _take(self, queue: int, step: Step) -> None:
        now_ns = time.monotonic_ns()
        items = zip(step.entries, step.messages, count(step.fence), repeat(queue), repeat(now_ns), strict=False)
        with self._guard:
            self._hand.settled(grouped(items, self._batches))

    def _ring(self, why: bytes) -> None:
        """Wakes the supervisor; a full pipe means that it is awake."""
        with suppress(BlockingIOError):
            os.write(self._post.bell, why)

    def _order(self) -> int:
        return self._slot.words[ORDER]


class Solo(Worker):
    """One thread: it fetches and runs, by turns."""

    def __init__(self, app: Distq, post: Post, takes: Takes = "all") -> None:
        super().__init__(app, post, 1)
        self.takes = takes
        self._queue, self._is_done, self._empty = 0, False, set[int]()
        self._rechecked = self._since = time.monotonic()
        self._runs = self._executor(Meters(post.slot, post.names), 0)

    def _work(self) -> None:
        self._await_seat()
        back = NO_VERDICTS
        while True:
            self._line.hear()
            left = self._left()
            ending = self._is_done or self._order() != RUN or left == 0
            idle = not (back.number or self._hand.unsettled)
            if ending and idle:
                return
            if self._slot.words[board.DOUBTED] and idle:
                self._begin_again()
            step = self._fetch(0 if ending else min(left, self._pace.want()), back)
            back = NO_VERDICTS
            if step is None:
                continue
            if step.word != "ok":
                self._begin_anew()
            elif step.entries:
                if len(step.entries) > 1 and not self._head[board.WATCHING]:
                    self._ring(b"b")
                back = self._run_batch(step)
                if time.monotonic_ns() > self._slot.words[board.LEASE_UNTIL]:
                    self._settle_late(back)
                    back = NO_VERDICTS

    def _close(self) -> None:
        self._runs.close()

    def _await_seat(self) -> None:
        """Its predecessor has it while that runs something. Who is told to end meanwhile does, whatever comes then."""
        while self._order() == RUN:
            if not self._slot.owes:
                return
            select.select([self._post.poke], [], [])
            self._line.hear()
        self._is_done = True

    def _settle_late(self, back: Verdicts) -> None:
        """The lease is over by our clock although nobody may have noticed: what is done still counts if so."""
        self._step(self._queue, 0, back)
        self._leave()
        self._register()

    # -- fetching ----------------------------------------------------------------------------------------------------

    def _fetch(self, want: int, back: Verdicts) -> Step | None:
        """The next batch: settles in the queue that was worked on, then asks those that may have work."""
        previous, has_work = self._queue, bool(back.number or self._hand.unsettled)
        if want:
            self._choose_queue()
        if has_work and self._queue != previous:
            settled = self._step(previous, 0, back)
            if settled.word != "ok":
                return settled
            back, has_work = NO_VERDICTS, False
        if len(self._empty) < len(self._post.queues) or has_work:
            step = self._step(self._queue, want, back) if has_work else self._ask(self._queue, want)
            if step is None or (not step.entries and step.word == "ok"):
                self._empty.add(self._queue)
            return step
        self._empty.clear()
        return self._wait(want)

    def _wait(self, want: int) -> Step | None:
        """Until a marker comes, or something else has happened."""
        woken, step = self._line.wait(want, MOST_BYTES)
        if woken is None:
            return self._mark_again()
        self._queue, self._empty = woken, set(range(len(self._post.queues))) - {woken}
        if step is None:  # whoever takes a marker asks its queue before any other: that sets it again for the others
            step = self._ask(woken, want)
        else:
            self._take_asked(woken, step)
        if step is None or (step.word == "ok" and not step.entries):
            self._empty.add(woken)
        return step

    def _ask(self, queue: int, want: int) -> Step | None:
        """A step with nothing to settle. Where queues are on several nodes, one whose node is away does not hold up the
        others: None."""
        if not self._line.is_spread:
            return self._step(queue, want)
        step = self._line.ask(queue, want, MOST_BYTES)
        if step is not None:
            self._take_asked(queue, step)
        return step

    def _take_asked(self, queue: int, step: Step) -> None:
        if step.word == "ok":
            self._hand.collect(queue, self._line.number(queue) - 1)  # nothing: the board gets its number
            self._take(queue, step)

    def _mark_again(self) -> Step | None:
        """A marker of any queue may have gone with the connection: a step in each sets it again, before this worker is
        busy with one of them."""
        queues = range(len(self._post.queues)) if self._order() == RUN and not self._line.is_spread else ()
        steps = (self._step(queue, 0) for queue in queues if len(queues) > 1)
        return next((step for step in steps if step.word != "ok"), None)

    def _choose_queue(self) -> None:
        """The next queue in turn that is not known to be empty. With each it stays for a moment: to change for every
        batch of quick tasks would cost as much as they do."""
        queues = len(self._post.queues)
        if queues == 1 or (self._stays() and self._queue not in self._empty):
            return
        now = self._since = time.monotonic()
        if self._empty and len(self._empty) < queues and now - self._rechecked > RECHECK_S:
            self._rechecked = now
            self._empty.clear()
        for turn in range(1, queues + 1):
            candidate = (self._queue + turn) % queues
            if candidate not in self._empty:
                self._queue = candidate
                return

    # -- running -----------------------------------------------------------------------------------------------------

    def _run_batch(self, step: Step) -> Verdicts:
        """Runs what it may of a batch, and of those that follow at once; verdicts that release what it gives back."""
        name, words, hand = self._names[self._queue], self._slot.words, self._hand
        types: set[str] = set()
        while True:
            run = self._runs.ways(self._batches)[max(map(len, step.entries)) > MAX_ENTRY_BYTES]
            # A suspect waits until this worker holds nothing: then it does not ask ahead.
            ahead_at = len(step.entries) // AHEAD_PART if len(step.entries) >= AHEAD and not step.alone else -1
            begun = now = time.monotonic_ns()
            give_back_at, ran, stopped = begun + WINDOW_NS, 0, False
            item = hand.start(0, now)
            while item is not None:
                entry, raw, fence, _, _ = item
                type, done, now = run(name, entry, raw, fence, now)
                types.add(type)
                ran += 1
                stopped = words[ORDER] != RUN or now > give_back_at
                if stopped:
                    hand.end(0, now, done)
                    break
                item = hand.start(0, now, done)
                if ran == ahead_at:
                    self._fetch_ahead(now - begun)
                elif item is None and hand.loose and self._make_room():
                    item = hand.start(0, now)
            self._pace.note(types, ran, (now - begun) / 1e9)
            if not self._line.is_ahead:
                break
            step = self._end_ahead()
            if stopped or not step.entries:
                break
            types.clear()
        self._runs.rest()
        return releases(hand.give_back(self._queue))

    def _fetch_ahead(self, spent_ns: int) -> None:
        """Early in a batch of quick tasks the next one is asked for, and what is finished goes along: neither
        the broker nor this worker waits for the other. Both together still start within the window."""
        if not self._hand.loose and spent_ns < WINDOW_NS // 2 and not self._is_awaited():
            want = min(self._left(), self._pace.want(len(self._hand.waiting)))
            self._line.begin_step(self._queue, want, MOST_BYTES, self._collect(self._queue))

    def _is_awaited(self) -> bool:
        """Whether the next batch may have to come from another queue."""
        queues, rests_s = len(self._post.queues), time.monotonic() - self._rechecked
        return queues > 1 and not self._stays() and (len(self._empty) < queues - 1 or rests_s > RECHECK_S)

    def _stays(self) -> bool:
        """Whether its time with this queue is not over."""
        return time.monotonic() - self._since < WINDOW_S

    def _end_ahead(self) -> Step:
        """What was asked for ahead."""
        step = self._line.end_step()
        if step.word == "ok":
            self._take(self._queue, step)
        else:
            self._begin_anew()
        return step

    def _make_room(self) -> bool:
        """Settles what is finished, since the board is full; False when the worker is gone."""
        if self._line.is_ahead and self._end_ahead().word != "ok":
            return False
        return self._step(self._queue, 0).word == "ok"
