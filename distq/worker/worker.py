"""One worker process: fetch, run, settle, until told to end. Its children threads: none.

1. registers under a fresh name and holds a lease, which the supervisor renews;
2. reserves what it expects to start within 10 ms, and settles what it has done in the same round trip;
3. runs one message after the other in the main thread, noting each verdict on the board;
4. gives back what it has not started when a task turns out slow, when its lease is lost, or when it shall end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from distq.app import Distq
from distq.broker import keys
from distq.broker.verbs import NO_VERDICTS, Step, Verdicts, verdict
from distq.options import limit_text
from distq.worker import board
from distq.worker.board import LARGE_VERDICT, MAX_ENTRY_BYTES, ORDER, RUN, Board, Meters, Slot
from distq.worker.execute import Executor
from distq.worker.line import Ended, Line
from distq.worker.pace import MOST_BYTES, WINDOW_S, Pace

logger = logging.getLogger("distq.worker")

WINDOW_NS = int(WINDOW_S * 1e9)
RECHECK_S = 0.05
"""A queue that was empty is asked again after this long while others keep the worker busy."""


@dataclass(frozen=True)
class Post:
    """Where a worker works: what it shares with its supervisor, and its settings."""

    board: Board
    slot: Slot
    host: str
    info: str
    queues: Sequence[str]
    lease_ms: int
    poke: int
    """Readable end of the supervisor's pipe: a byte means "look at the board", the end means that it is gone."""
    bell: int
    """Writable end of the pipe that wakes the supervisor."""
    types: Sequence[str]
    digest: str


class Worker:
    """The loop of one child."""

    def __init__(self, app: Distq, post: Post) -> None:
        self._app, self._post, self._slot, self._head = app, post, post.slot, post.board.head
        prefixes = [keys.prefix(app.name, queue) for queue in post.queues]
        self._line = Line(
            app.url, prefixes, post.host, post.info, post.lease_ms, post.types, post.digest,
            [limits_of(app, queue) for queue in post.queues], post.poke, self._order,
        )  # fmt: skip
        self._executor = Executor(app, lambda: self._line.name, Meters(post.slot, list(post.types)))
        self._pace = Pace()
        self._queue = 0
        self._empty: set[int] = set()
        self._rechecked = time.monotonic()

    def run(self) -> None:
        """Works until the supervisor wants it to end; everything is given back by then."""
        try:
            self._register()
            self._work()
            self._line.leave()
            self._slot.leave()
        except Ended:
            logger.warning("ending without the broker; its lease will give back what is held")
        finally:
            self._executor.close()

    def _work(self) -> None:
        verdicts = NO_VERDICTS
        while True:
            self._line.hear()
            ending = self._head[board.ORDER] != board.RUN
            if ending and not verdicts.number:
                return
            if self._slot.words[board.DOUBTED] and not verdicts.number:
                self._begin_again()
            step = self._fetch(verdicts, 0 if ending else self._pace.want())
            verdicts = NO_VERDICTS
            if step is None:
                continue
            if step.word != "ok":
                logger.warning("worker %s has lost its lease; going on under a new name", self._line.name)
                self._register()
            elif step.entries:
                verdicts = self._run_batch(step)
                if time.monotonic_ns() > self._slot.words[board.LEASE_UNTIL]:
                    self._settle_late(verdicts)
                    verdicts = NO_VERDICTS

    def _settle_late(self, verdicts: Verdicts) -> None:
        """The lease is over by our clock although nobody may have noticed: what is done still counts if so."""
        self._line.step(self._queue, 0, 0, verdicts)
        self._line.leave()
        self._register()

    def _begin_again(self) -> None:
        """The broker says that this worker holds something, and it does not: all goes back, under a new name."""
        logger.warning("worker %s: the broker has it hold what it does not: giving that back", self._line.name)
        self._line.leave()
        self._register()

    def _register(self) -> None:
        self._line.register()
        self._slot.enter(self._line.name, self._line.registered_ns + self._post.lease_ms * 1_000_000)
        self._ring(b"r")

    # -- fetching ----------------------------------------------------------------------------------------------------

    def _fetch(self, verdicts: Verdicts, want: int) -> Step | None:
        """The next batch: settles in the queue that was worked on, then asks those that may have work."""
        previous = self._queue
        if want:
            self._choose_queue()
        if verdicts.number and self._queue != previous:
            settled = self._line.step(previous, 0, 0, verdicts)
            if settled.word != "ok":
                return settled
            verdicts = NO_VERDICTS
        if len(self._empty) < len(self._post.queues) or verdicts.number:
            step = self._line.step(self._queue, want, MOST_BYTES, verdicts)
            if not step.entries and step.word == "ok":
                self._empty.add(self._queue)
            return step
        self._slot.rest()
        self._empty.clear()
        woken, waited = self._line.wait(want, MOST_BYTES)
        if woken is not None:
            self._queue = woken
            self._empty = set(range(len(self._post.queues))) - {woken}
        if waited is not None and not waited.entries and waited.word == "ok":
            self._empty.add(self._queue)
        return waited

    def _choose_queue(self) -> None:
        """The next queue in turn that is not known to be empty."""
        queues = len(self._post.queues)
        if queues == 1:
            return
        now = time.monotonic()
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
        """Runs what it may of a batch; gives verdicts on what it ran, and on what it gives back."""
        slot, queue = self._slot, self._queue
        slot.begin(self._line.number(queue), queue, [entry[:MAX_ENTRY_BYTES] for entry in step.entries], step.alone)
        if len(step.entries) > 1 and not self._head[board.WATCHING]:
            self._ring(b"b")
        name, head, run = self._post.queues[queue], self._head, self._executor.run
        if max(map(len, step.entries)) > MAX_ENTRY_BYTES:
            run = self._executor.run_checked
        begun = now = time.monotonic_ns()
        give_back_at = begun + WINDOW_NS
        types: set[str] = set()
        ran, done = 0, b""
        for fence, (entry, raw) in enumerate(zip(step.entries, step.messages, strict=True), step.fence):
            if head[ORDER] != RUN or now > give_back_at:
                break
            claimed, done = slot.start(now, done), b""
            if not claimed:
                break
            type, done, now = run(name, entry, raw, fence, now)
            types.add(type)
            ran += 1
            if len(done) > LARGE_VERDICT and not (slot.has_room(len(done)) or self._make_room(queue, len(done))):
                break
        self._executor.rest()
        self._pace.note(types, ran, (now - begun) / 1e9)
        return self._close_batch(step.entries, done)

    def _close_batch(self, entries: list[bytes], last: bytes) -> Verdicts:
        """What is done, and the rest goes back in front, in its order."""
        done, unstarted = self._slot.close(last)
        if not unstarted:
            return done
        back = [verdict(entry, b"release", b"", 0, b"") for entry in reversed(entries[-unstarted:])]
        return Verdicts(done.number + len(back), done.items + b"".join(back))

    def _make_room(self, queue: int, size: int) -> bool:
        """Settles what is noted; False when the worker is gone, or the verdict is larger than the board."""
        noted = self._slot.hand_in()
        step = self._line.step(queue, 0, 0, noted)
        self._slot.handed_in(self._line.number(queue))
        return step.word == "ok" and self._slot.has_room(size)

    # -- the supervisor ----------------------------------------------------------------------------------------------

    def _ring(self, why: bytes) -> None:
        """Wakes the supervisor; a full pipe means that it is awake."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._post.bell, why)

    def _order(self) -> int:
        return self._head[board.ORDER]


def limits_of(app: Distq, queue: str) -> dict[str, str]:
    """For each type of a queue its limit as the broker keeps it; "" for none."""
    return {
        name: limit_text(task.declaration.rate) if task.declaration.rate else ""
        for name, task in app.tasks.items()
        if task.declaration.queue == queue
    }
