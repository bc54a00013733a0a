"""A worker process with an event loop: its main thread runs coroutines, a second one fetches and settles.

It is a `Pool` whose seats are coroutines. Each attempt is a task of the loop of its own, in a context of its own; what
waits is taken by a task at the moment at which it begins, so that nothing is said to run behind a handler that blocks
the loop. That is noticed: what waits goes back, nothing more is fetched, and a warning names the handler.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from itertools import takewhile
from threading import Thread
from types import FrameType
from typing import Any

from distq.app import Distq
from distq.memory import DESK, DESKS
from distq.middleware import onion
from distq.outcome import Interrupted
from distq.worker import board
from distq.worker.attempts import Attempts, end_all
from distq.worker.awaiting import run_through
from distq.worker.board import CANCEL, LEAVE, ORDER, RUN
from distq.worker.desk import Seat
from distq.worker.hand import Done, Item
from distq.worker.interrupt import Obey
from distq.worker.meters import Meters
from distq.worker.notes import SEAT
from distq.worker.pace import MOST, WINDOW_S
from distq.worker.pool import Pool
from distq.worker.post import Post
from distq.worker.relay import Relay
from distq.worker.units import Ended
from distq.worker.worker import WINDOW_NS

logger = logging.getLogger("distq.worker")

BLOCKED_S = 1.0
"""A handler that keeps the loop for longer is named."""
SAY_AGAIN_S = 60.0
NOBODY = -1


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, if it is installed."""
    try:
        import uvloop  # noqa: PLC0415 (optional, and nothing for a process without a loop)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Tally:
    """What has ended since the other thread last asked. It asks at any moment: one may be counted in part, or not."""

    __slots__ = ("ns", "number", "types")

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.number = self.ns = 0


class Loop(Pool):
    """Many coroutines. `_parked` are the numbers of the seats that are free."""

    _hand: Relay
    hand_type = Relay
    most_ahead = 2 * MOST
    """A loop gets through them while the next ones are on their way."""

    def __init__(self, app: Distq, post: Post) -> None:
        super().__init__(app, post, post.coroutines)
        self._runner: asyncio.Runner | None = None
        self._called_ns = 0
        """When the loop was asked to begin what waits, and has not answered; 0: it was not."""
        self._since: dict[int, int] = {}
        """When each seat has begun what it runs, the first one first."""
        self._coming = 0
        """Tasks of the loop that are about to take what waits."""
        self._is_cancelled = False
        self._tell = self._tell_from_outside
        self._beat_ns = 0
        """When the loop was asked whether it turns, likewise."""
        self._blocks = ""
        """What keeps it, as far as was seen."""
        self._say_at = 0.0
        self._tally = Tally()
        self._begins = NOBODY
        """The seat whose attempt is in its first turn."""
        self._baton: tuple[int, Done] | None = None
        """(seat, verdict) of one that has ended in it: who comes next notes that."""
        self._tasks: list[asyncio.Task[None] | None] = [None] * self._number

    def _work(self) -> None:
        # Nobody closes it: that would wait for whatever does not end, and this process ends.
        self._runner = asyncio.Runner(loop_factory=loop_factory())
        loop = self.loop = self._runner.get_loop()
        main = loop.create_task(self._live())
        run_through(loop, main)

    def _close(self) -> None:
        if self._runner is not None:  # it has begun to work
            run_through(self.loop, self.loop.create_task(self._close_all()))

    def shown(self) -> list[tuple[Item | None, list[asyncio.Task[Any]]]]:
        """Each seat is a task of the loop."""
        both = zip(self._hand.running, self._tasks, strict=True)
        return [(item, [] if item is None or task is None else [task]) for item, task in both]

    async def _live(self) -> None:
        """The loop's side of the worker's life."""
        loop, number = self.loop, self._number
        is_around = onion(self._app.middleware, lambda context: None).around is not None
        meters = self._meters if is_around else Meters(self._slot, self._post.names)  # nobody else counts then
        self._runs = Attempts(self._app, lambda: self._line.name, meters, loop, number, self._names, self)
        self._context = copy_context()
        self._desks = [Seat(self._post.board, self._slot, self._hand, seat, self._ring) for seat in range(number)]
        DESKS.extend(self._desks)
        for desk in self._desks:
            desk.thread = 0
        self._contexts = [self._context_of(seat) for seat in range(number)]
        self._task_names = [f"distq-{seat + 1}" for seat in range(number)]  # one made for each task takes 0.2 µs
        self._parked += range(number - 1, -1, -1)
        ended: asyncio.Future[None] = loop.create_future()
        Thread(target=self._fetch, args=(ended,), name="distq-fetch", daemon=True).start()
        while not ended.done():
            with suppress(asyncio.CancelledError):  # handlers can reach every task of the loop
                await asyncio.wait([ended])
        self._cancel()
        ended.result()

    async def _close_all(self) -> None:
        self._runs.close()
        if self._app.lifecycle.has_loops:
            await self._app.lifecycle.aclose()
        await end_all(asyncio.all_tasks() - {asyncio.current_task()})
        await self.loop.shutdown_asyncgens()

    def _context_of(self, seat: int) -> Context:
        """What attempts in this seat begin with: each has a copy of its own."""
        context = self._context.copy()
        context.run(SEAT.set, seat)
        context.run(DESK.set, self._desks[seat])
        return context

    # -- the thread that fetches -------------------------------------------------------------------------------------

    def _fetch(self, ended: asyncio.Future[None]) -> None:
        try:
            self._keep()
        except BaseException as error:
            self.loop.call_soon_threadsafe(ended.set_exception, error)
        else:
            self.loop.call_soon_threadsafe(ended.set_result, None)

    def _note_pace(self) -> None:
        tally, self._tally = self._tally, Tally()
        self._pace.note(tally.types, tally.number, tally.ns / 1e9)

    def _wake(self, number: int) -> None:
        if number > 0 and self._parked and not self._called_ns:
            self._called_ns = time.monotonic_ns()
            self.loop.call_soon_threadsafe(self._begin_waiting, context=self._context)

    def _want(self) -> int:
        """Nothing while the loop is blocked."""
        if self._called_ns and time.monotonic_ns() - self._called_ns > WINDOW_NS:
            return 0
        return super()._want()

    def _idles(self) -> bool:
        return not self._hand.startable

    def _at_once(self) -> int:
        """All that wait, but a loop gets through quick ones one after the other."""
        return len(self._parked) if self._pace.average > WINDOW_S else 0

    def _held_up(self) -> int:
        """Coroutines mostly wait, and as many end as begin: held up are those that take longer than others."""
        late = time.monotonic_ns() - max(WINDOW_NS, int(2e9 * self._pace.average))
        begun = list(self._since.values())  # at once: meanwhile the loop ends some
        return sum(1 for _ in takewhile(late.__gt__, begun))

    def _look(self) -> float:
        """Asks the loop whether it turns, and looks who keeps it if it does not. How long until the next look."""
        if self._order() == CANCEL and not self._is_cancelled:
            self._is_cancelled = True
            self.loop.call_soon_threadsafe(self._cancel, context=self._context)
        now = time.monotonic_ns()
        with self._guard:
            is_empty = self._hand.is_empty
        if self._beat_ns:
            if now - self._beat_ns > BLOCKED_S * 1e9 / 2:
                self._blocks = self._what_runs()
        elif not is_empty:
            self._beat_ns = now
            self.loop.call_soon_threadsafe(self._beat, context=self._context)
        else:
            return float("inf")
        return BLOCKED_S / 2

    def _what_runs(self) -> str:
        """Of the coroutines the one that the loop is at."""
        task = asyncio.current_task(self.loop)
        for seat, its in enumerate(self._tasks):
            item = self._hand.running[seat]
            if its is task and item is not None:
                return self._runs.named(item[0], item[1])
        return self._runs.starter_of(task)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        seconds, self._beat_ns = (time.monotonic_ns() - self._beat_ns) / 1e9, 0
        if seconds > BLOCKED_S and time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + SAY_AGAIN_S
            what = self._blocks or "a handler"
            logger.warning(
                "%s has blocked the event loop for more than %.2g s: it waits without await, or computes", what, seconds
            )
        self._blocks = ""

    def _cancel(self) -> None:
        """All that still runs goes back."""
        for task in self._tasks:
            if task is not None and not task.done():
                self._runs.interrupt(task, Interrupted("its host ends"))

    def _tell_from_outside(self, seat: int, since: int, obey: Obey, frame: FrameType | None) -> None:
        """The soft limit of this run is over."""
        self.loop.call_soon_threadsafe(self._tell_here, seat, since, obey(), context=self._context)

    def _tell_here(self, seat: int, since: int, what: type[BaseException]) -> None:
        task = self._tasks[seat]
        if task is not None and not task.done() and self._since.get(seat) == since:
            self._runs.interrupt(task, what())

    def _begin_waiting(self) -> None:
        """There is something to begin."""
        with self._ends_if_broken(), self._guard:
            self._called_ns = 0
            seats = self._seats_to_begin()
            is_urgent = self._stop_sleep()
            self._begin(seats, is_urgent)

    @contextmanager
    def _ends_if_broken(self) -> Iterator[None]:
        """Without this turn nothing would begin any more, and nobody would know."""
        try:
            yield
        except BaseException as error:
            self.fail(error)

    def _seats_to_begin(self) -> list[int]:
        """Free seats for what waits. The guard is held."""
        number = min(self._hand.startable - self._coming, len(self._parked))
        if number <= 0 or self._order() != RUN or self._yields:
            return []
        seats = self._parked[-number:]
        del self._parked[-number:]
        self._coming += number
        return seats

    def _stop_sleep(self) -> bool:
        """Whether the other thread is to be woken. The guard is held."""
        is_urgent = self._asleep and self._is_urgent()
        self._asleep = self._asleep and not is_urgent
        return is_urgent

    def _begin(self, seats: list[int], is_urgent: bool) -> None:
        """Has the loop begin an attempt in each of them, one directly behind the other, and come back here then."""
        if is_urgent:
            os.write(self._bell_in, b"f")
        if not seats:
            return
        new, attempt, loop, tasks = asyncio.Task, self._runs.attempt, self.loop, self._tasks
        desks, names, contexts = self._desks, self._task_names, self._contexts
        for seat in seats:
            tasks[seat] = new(attempt(seat, desks[seat]), loop=loop, name=names[seat], context=contexts[seat].copy())
        loop.call_soon(self._all_begun, seats, context=self._context)

    def _all_begun(self, seats: list[int]) -> None:
        """Each of them has had its first turn; a handler may have cancelled some before."""
        self._begins, tasks = NOBODY, self._tasks
        with self._ends_if_broken(), self._guard:
            self._coming -= len(seats)
            if self._baton is not None:
                self._note_end(*self._baton)
                self._baton = None
            for seat in seats:
                if (task := tasks[seat]) is not None and task.cancelled():
                    self._park(seat)
            more = self._seats_to_begin()
            is_urgent = self._stop_sleep()
            self._begin(more, is_urgent)

    def take(self, seat: int, now_ns: int) -> Item | None:
        """What waits at this moment. If the one before has ended in its first turn, its verdict is noted with it."""
        hand, baton = self._hand, self._baton
        with self._guard:
            if self._slot.words[ORDER] != RUN or self._yields:
                item = None
            elif baton is None:
                item = hand.start(seat, now_ns)
            else:
                self._baton = None
                if hand.is_settled:
                    self._unsettled_ns = now_ns
                item = hand.follow(seat, now_ns, *baton)
                self._parked.append(baton[0])
                if not self._head[board.WATCHING]:
                    self._ring(b"b")  # this one may keep the interpreter, and that verdict behind it
            if item is None:
                self._park(seat)
            else:
                self._begins, self._since[seat] = seat, now_ns
        return item

    def give(self, seat: int, start_ns: int, ended: Ended) -> None:
        """If no other has begun meanwhile, one does so next, or the loop comes back to `_all_begun`."""
        type, done, end_ns = ended
        self._desks[seat].forget()
        tally = self._tally
        tally.types.add(type)
        tally.number += 1
        tally.ns += end_ns - start_ns
        del self._since[seat]
        if self._begins == seat:
            self._baton = seat, done
            return
        with self._guard:
            self._note_end(seat, done)
            seats = self._seats_to_begin()
            is_urgent = self._stop_sleep()
        self._begin(seats, is_urgent)

    def _note_end(self, seat: int, done: Done) -> None:
        """The seat is for the next one. The guard is held."""
        now_ns = time.monotonic_ns()
        if self._hand.end(seat, now_ns, done):
            self._unsettled_ns = now_ns
        if not self._head[board.WATCHING] and len(self._parked) < self._number - 1:
            self._ring(b"b")  # one of the others may keep the interpreter, and this verdict behind it
        self._park(seat)

    def _park(self, seat: int) -> None:
        """The guard is held."""
        self._parked.append(seat)
        if self._yields or self._order() == LEAVE:
            self._lend()
