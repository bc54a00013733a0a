"""A worker process with several threads: the main thread fetches and settles, the others run.

The main thread keeps so many tasks waiting as the threads are expected to start within 10 ms. What they have finished
it settles at once when a thread would be idle, otherwise together every 5 ms. It waits for three things at a time: a
marker in the broker, a call of the supervisor, a thread that has finished.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Iterable
from typing import Any

from distq.app import Distq
from distq.broker.verbs import Step, Takes
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.worker import board
from distq.worker.board import LEAVE, MAX_ENTRY_BYTES, ORDER, RUN
from distq.worker.hand import NOTHING, releases
from distq.worker.line import BLOCK_S, REPLY_S, Announced
from distq.worker.meters import Meters
from distq.worker.notes import SEAT
from distq.worker.pace import MOST
from distq.worker.post import Post
from distq.worker.shares import Shares
from distq.worker.units import Units
from distq.worker.worker import WINDOW_NS, Worker

SETTLE_NS = 5_000_000
"""So long a verdict may wait for others, while all threads are busy."""
PROBE_S = 0.5
"""So often the broker is asked about a lease that is over by our clock, and tried when it is away."""


class Pool(Worker):
    """Several threads. What they share changes under `_guard`."""

    takes: Takes = "sound"
    most_ahead = MOST

    def __init__(self, app: Distq, post: Post, seats: int | None = None) -> None:
        self._number = seats or post.threads
        self._shares = Shares(post.shares)
        super().__init__(app, post, self._number)
        self._meters = Meters(post.slot, post.names, threading.Lock())
        self._parked: list[Any] = []
        self._lent: list[Any] = []
        """Those whose seat a suspect has, in a process of its own."""
        self._answered = 0
        """The last request for a seat that was answered."""
        self._yields = post.slot.owes > 0
        """Whether the next thread that ends a task is to start no other. The one before us may have lent a seat, or
        have ours."""
        self._ran: list[tuple[str, float]] = []
        self._begun = [0] * self._number
        """When each seat has begun what it runs; 0: it runs nothing."""
        self._unsettled_ns = 0
        self._bell_out, self._bell_in = os.pipe()
        os.set_blocking(self._bell_out, False)
        os.set_blocking(self._bell_in, False)
        self._asleep = self._stopping = False
        self._broken: BaseException | None = None
        self._empty: set[int] = set()
        self._marked: set[int] = set()
        self._drops = self._turn = 0
        self._probe_at = 0.0
        self._low_water = -1
        """The main thread, asleep, wants to know when no more wait than this."""

    def _announcement(self) -> Announced:
        return super()._announcement()._replace(shares=self._shares)

    def _work(self) -> None:
        threads = [
            threading.Thread(target=self._labour, args=(seat,), name=f"distq-{seat + 1}", daemon=True)
            for seat in range(self._number)
        ]
        for thread in threads:
            thread.start()
        self._keep()
        self._stopping = True
        self._parked += self._lent
        self._wake(len(threads))
        for thread in threads:
            thread.join(1.0)

    # -- the main thread ---------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Fetches and settles, until all is done at the end."""
        while True:
            self._line.hear()
            if self._broken is not None:
                raise self._broken
            ending, is_spent = self._order() != RUN, self._left() == 0
            self._note_markers(ending or is_spent)
            with self._guard:
                is_empty = self._hand.is_empty
                self._lend()
            if (ending or is_spent) and is_empty:
                break
            if self._slot.words[board.DOUBTED] and is_empty:
                self._begin_again()
            if not self._exchange(ending):
                self._wait()

    def _exchange(self, ending: bool) -> bool:
        """A step in each queue that has something to settle, or may have work; whether there was any."""
        stepped, probes, queues = False, self._is_probe_due(), len(self._post.queues)
        if self._shares:
            with self._guard:
                has_room = self._shares.look(self._hand)
            if has_room:
                self._empty.clear()  # for others
        self._turn += 1  # each queue is the first one by turns: that may take all that is wanted
        for queue in [(self._turn + ahead) % queues for ahead in range(queues)]:
            with self._guard:
                self._note_pace()
                want = 0 if queue in self._empty else self._want()
                back = self._back(queue) if ending else NO_VERDICTS
                is_due = self._hand.has_unsettled(queue) and (ending or self._is_due())
            if want or back.number or is_due or queue in self._marked or probes:
                self._marked.discard(queue)
                stepped = True
                if not self._exchange_in(queue, want, back):
                    break
        return stepped

    def _exchange_in(self, queue: int, want: int, back: Verdicts) -> bool:
        """One step; False: the worker has a new name."""
        if want and not self._head[board.WATCHING] and len(self._parked) + len(self._lent) < self._number:
            self._ring(b"b")  # what it brings may come while one of the others keeps the interpreter
        step = self._step(queue, want, back)
        if step.word != "ok":
            self._begin_anew()
            return False
        if want and not step.entries:
            self._empty.add(queue)
        with self._guard:
            if self._hand.waiting and not self._head[board.WATCHING]:
                self._ring(b"b")  # before a thread wakes: it may keep the interpreter
            self._wake(len(self._hand.waiting))
        return True

    def _take(self, queue: int, step: Step) -> None:
        super()._take(queue, step)
        if self._shares:
            self._shares.take(step.entries, step.messages, step.fence)

    def _want(self) -> int:
        """How many more to fetch."""
        idle, waiting = len(self._parked), self._hand.startable
        if self._order() != RUN or self._hand.is_full:
            return 0
        ahead = self._ahead()
        if waiting >= self._at_once() and waiting > ahead // 2:
            return 0
        return min(self._left(), MOST, idle + ahead - waiting)

    def _ahead(self) -> int:
        """How many may wait: as many as start within the window, in seats that are not at a longer task already."""
        return self._pace.ahead(self._number - len(self._lent) - self._held_up(), self.most_ahead)

    def _held_up(self) -> int:
        """How many seats are at a task that takes long."""
        late = time.monotonic_ns() - WINDOW_NS
        return sum([0 < begun < late for begun in self._begun])

    def _is_due(self) -> bool:
        """Whether what is finished is to be settled now."""
        if not self._hand.unsettled:
            return False
        is_late = time.monotonic_ns() - self._unsettled_ns > SETTLE_NS
        return is_late or self._idles() or bool(self._hand.loose) or self._hand.unsettled >= MOST

    def _idles(self) -> bool:
        """Whether a seat has nothing to do: then there is no reason to wait for more verdicts."""
        return bool(self._parked)

    def _at_once(self) -> int:
        """So many that wait would be begun at once."""
        return len(self._parked)

    def _is_probe_due(self) -> bool:
        now = time.monotonic()
        if now * 1e9 <= self._slot.words[board.LEASE_UNTIL] or now < self._probe_at:
            return False
        self._probe_at = now + PROBE_S
        return True

    def _back(self, queue: int) -> Verdicts:
        return releases(self._hand.give_back(queue))

    def _note_pace(self) -> None:
        ran, self._ran = self._ran, []
        if ran:
            types, seconds = zip(*ran, strict=True)
            self._pace.note(set(types), len(ran), sum(seconds))

    def _wait(self) -> None:
        """Until there is something to do."""
        listening = self._line.listen(self._empty) if self._order() == RUN and self._left() else []
        with self._guard:
            if self._is_due() or self._may_fetch():
                return
            self._asleep = True
            self._low_water = self._ahead() // 2 if self._fetches() else -1
            timeout = BLOCK_S + REPLY_S if listening else PROBE_S
            if self._hand.unsettled:
                timeout = max(0.0, (self._unsettled_ns + SETTLE_NS - time.monotonic_ns()) / 1e9)
        readable, _, _ = select.select(
            [self._post.poke, self._bell_out, *listening], [], [], min(timeout, self._lease_left(), self._look())
        )
        self._asleep = False
        if self._post.poke in readable:  # perhaps it goes on, and some had parked, although something waits
            with self._guard:
                self._wake(self._hand.startable)
        if self._bell_out in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell_out, 4096)
        for number in listening:
            if number in readable:
                self._told(self._line.heard(number))

    def _look(self) -> float:
        """Called before it waits: how long that may be."""
        return float("inf")

    def _note_markers(self, ending: bool) -> None:
        """Those that may have gone with a connection; and at the end they are left to others."""
        if self._drops != self._line.drops:
            self._drops = self._line.drops
            self._told(range(len(self._post.queues)))
        if ending:
            self._told(self._line.stop_listening())

    def _told(self, told: Iterable[int]) -> None:
        """Whoever takes a marker away makes a step, which sets it again if there is more: also if it wants nothing."""
        self._empty.difference_update(told)
        self._marked.update(told)

    def _lease_left(self) -> float:
        return max(PROBE_S, self._slot.words[board.LEASE_UNTIL] / 1e9 - time.monotonic())

    def _wake(self, number: int) -> None:
        for _ in range(min(number, len(self._parked))):
            self._parked.pop().release()

    def _lend(self) -> None:
        """Lends a free seat if one is wanted for a suspect; what was returned is free again. The guard is held."""
        words, wanted, lent = self._slot.words, self._head[board.WANTED], self._slot.owes
        if self._order() == LEAVE:
            self._pass_on()
            return
        if wanted <= self._answered and lent == len(self._lent) and not self._yields:
            return
        if wanted > self._answered and self._parked:
            self._answered, lent = wanted, lent + 1
            words[board.LENT] += 1
            self._ring(b"s")
        while len(self._lent) > lent:
            self._parked.append(self._lent.pop())
        while len(self._lent) < lent and self._parked:
            self._lent.append(self._parked.pop())
        did_yield, self._yields = self._yields, wanted > self._answered or len(self._lent) < lent
        if did_yield and not self._yields:
            self._wake(self._hand.startable)

    def _pass_on(self) -> None:
        """Each seat that is free is the successor's, after those that others have already. The guard is held."""
        while self._parked:
            self._lent.append(self._parked.pop())
        more = len(self._lent) - self._slot.owes
        if more > 0:
            self._slot.words[board.LENT] += more
            self._ring(b"s")

    # -- the threads -------------------------------------------------------------------------------------------------

    def _labour(self, seat: int) -> None:
        runs = self._executor(self._meters, seat)
        try:
            self._run_tasks(seat, runs)
        except BaseException as error:
            self.fail(error)
        finally:
            runs.close()

    def fail(self, error: BaseException) -> None:
        """Whatever is left of this process must not go on without one of its seats: it ends."""
        self._broken = error
        os.write(self._bell_in, b"x")

    def _run_tasks(self, seat: int, runs: Units) -> None:
        """Runs one task after the other; parks when none waits."""
        SEAT.set(seat)
        hand, head, words = self._hand, self._head, self._slot.words
        names, others = self._names, self._number - 1
        park = threading.Lock()
        park.acquire()
        quick, checked = runs.ways(self._batches)
        now, done = time.monotonic_ns(), NOTHING
        while not self._stopping:
            with self._guard:
                if done and not hand.unsettled:
                    self._unsettled_ns = now
                if words[ORDER] == RUN and not self._yields:
                    item = hand.start(seat, now, done)
                else:
                    hand.end(seat, now, done)
                    item = None
                if done and not head[board.WATCHING] and len(self._parked) < others:
                    self._ring(b"b")  # one of the others may keep the interpreter, and this verdict behind it
                if item is None:
                    self._parked.append(park)
                    if self._yields or words[ORDER] == LEAVE:
                        self._lend()
                is_urgent = self._asleep and self._is_urgent()
                self._asleep = self._asleep and not is_urgent
            if is_urgent:
                os.write(self._bell_in, b"f")
            if item is None:
                self._begun[seat] = 0
                runs.rest()
                park.acquire()
                now, done = time.monotonic_ns(), NOTHING
                continue
            entry, raw, fence, queue, _ = item
            run, begun = quick if len(entry) <= MAX_ENTRY_BYTES else checked, now
            self._begun[seat] = begun
            type, done, now = run(names[queue], entry, raw, fence, begun)
            self._ran.append((type, (now - begun) / 1e9))

    def _is_urgent(self) -> bool:
        """Whether the main thread, asleep, has something to do, or to set its alarm for. Each task asks this."""
        number = self._hand.unsettled
        if number and (number == 1 or number >= MOST or self._idles() or self._hand.loose):
            return True
        return self._hand.startable <= self._low_water

    def _may_fetch(self) -> bool:
        return self._fetches() and self._want() > 0

    def _fetches(self) -> bool:
        """Whether there may be something to fetch somewhere, and it may be fetched."""
        return len(self._empty) < len(self._post.queues) and self._order() == RUN
