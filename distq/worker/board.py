"""The status board: anonymous shared memory, made before the fork, in which a child says what it does.

The supervisor reads it when a child dies, hangs or is slow; it costs the broker nothing. Per slot:

    header    64-bit words, each written by one side only, except where a lock is named below
    seats     per thread or coroutine of the child: which of the entries it runs (from 1; 0: none)
    since     per thread: when it began that
    name      the worker's name
    entries   what the child holds: first what it has started, then what waits, in order
    verdicts  what is finished but not settled: first what a step on its way carries
    meters    counters that go on when the child is replaced
    logs      per thread: since when what it is about has run, its length, and the last lines that were logged meanwhile
    reports   per thread: how often it was written (odd: just now), since when what it is about has run, its length, and
              how far that task is
    bounds    per thread: time limits of what it runs (`distq.worker.bounds`)
    lines     of the log, to be written (`distq.worker.lines`)

Each entry and each verdict stands behind its length and its queue. The child's side is `distq.worker.hand`.

One rule needs a lock, the slot's: *a task is started by the child, or given back by the supervisor, never both*. The
child takes it to start a task, the supervisor to revoke what is not started. Its cost is in docs/decisions/0007.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate

from distq.broker.verbs import Held
from distq.broker.verdicts import Verdicts
from distq.run_times import BUCKETS, STATUSES
from distq.worker import bounds
from distq.worker.lines import LINES_BYTES, Lines
from distq.worker.lock import new_lock
from distq.worker.seen import Ran, Report

WORDS = 32
NAME_BYTES = 256
MAX_ENTRY_BYTES = 400
"""More than an id of 200 bytes and the number of its life. What is longer was never enqueued by us, and is not run."""
SEATS_AT_LEAST = 256
ENTRY_FRAME, VERDICT_FRAME = struct.Struct(">HB"), struct.Struct(">IB")
MORE_ENTRIES = 768
"""Than two for each seat, which runs one, and for which one may wait: more that wait, and what has ended since the
board was written anew."""
BATCHED = 4096
"""Who holds so many fetches no more: batches are handed over whole."""
BATCHED_ENTRIES = 2 * (BATCHED + 1024)
"""Held, or ended since: with one answer more than that."""
VERDICT_BYTES = 4 << 20
"""Room for verdicts: twice the largest result (1 MiB by default) and more. Untouched pages cost nothing."""
TYPES = 1000
STRIDE = len(STATUSES) + len(BUCKETS) + 1 + 1  # statuses, buckets with +Inf, sum in seconds
METER_BYTES = (TYPES + 1) * STRIDE * 8
LOG_BYTES = 4096
"""Of the last lines that a task has logged."""
LOG_HEAD = struct.Struct("=QI")
LOG_ROOM = LOG_HEAD.size + LOG_BYTES
REPORT_WORDS = 128
"""Of 8 bytes: three of them in front."""
REPORT_BYTES = 8 * (REPORT_WORDS - 3)
TRIES = 200
HEAD_BYTES = 4096

# words of a slot
STATE, STEP, QUEUE, COUNT, SENT, TAKEN, REVOKED, OLDEST, FETCHES = range(9)
LEASE_UNTIL, DOUBTED, NAME_END, ENTRIES_END, PID, SEATS, FLYING = range(9, 16)
LENT, RETURNED = range(16, 18)  # seats, in all: by its children, and back to them
STARTED, VERDICT_SPAN = range(18, 20)
ORDER, SPENT = range(20, 22)  # what its child is to do; whether that has done nearly as much as it may
SHOWN, SETTLING = range(22, 24)  # how often its child has shown its stacks; what the supervisor settles for it just now
ASKED = 24  # since when a step of a child with several seats is on its way that may bring something; 0: none is
LEASE_LOSSES, RECONNECTS = range(25, 27)  # in all, of its children

_OF_A_LIFE = (
    NAME_END, COUNT, SENT, TAKEN, REVOKED, ENTRIES_END, STARTED, VERDICT_SPAN, FLYING, SPENT, SETTLING, ASKED,
)  # fmt: skip
"""Words that are 0 when a child begins."""

LOW = (1 << 32) - 1
"""VERDICT_SPAN holds where the verdicts begin, and in its lower half where they end: both change in one write. So does
what a seat says: in the lower half the position of what it runs, above it how many more entries are in its batch."""

# states of a slot
EMPTY, STARTING, IDLE, BUSY, LEFT = range(5)

# whether a step is on its way, and whether the board knows all that it carries
NONE, KNOWN, UNKNOWN = range(3)

# words of the head
WATCHING, WANTED, REPORTING, LIMIT_AT = range(4)

# orders: to one child, whose successor is ready; to all. CANCEL: as DRAIN, and coroutines do not come to their end
RUN, LEAVE, DRAIN, QUIT, CANCEL = range(5)

NEVER = bounds.NEVER


def _split(raw: bytes, frame: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """(queue, item) of what stands behind such frames, as far as they can be read: its owner may have died over it.

    An id from elsewhere may hold any byte.
    """
    at = 0
    while at + frame.size <= len(raw):
        size, queue = frame.unpack_from(raw, at)
        at += frame.size + size
        if at <= len(raw):
            yield queue, raw[at - size : at]


def _entry_of(verdict: bytes) -> bytes:
    """The first of the three arguments of a verdict in wire form."""
    size, _, rest = verdict.partition(b"\r\n")
    return rest[: int(size[1:])]


def _parts(seats: int) -> tuple[int, ...]:
    """Bytes of each part of a slot. What is never touched costs no memory."""
    return (
        WORDS * 8, seats * 8, seats * 8, NAME_BYTES,
        (2 * seats + MORE_ENTRIES + BATCHED_ENTRIES) * (MAX_ENTRY_BYTES + ENTRY_FRAME.size),
        VERDICT_BYTES, METER_BYTES, seats * LOG_ROOM, seats * REPORT_WORDS * 8, seats * bounds.ROOM_BYTES, LINES_BYTES,
    )  # fmt: skip


class Board:
    """The shared memory of one host: a head and one slot per child, each with room for so many seats."""

    def __init__(self, slots: int, seats: int = SEATS_AT_LEAST) -> None:
        parts = _parts(max(seats, SEATS_AT_LEAST))
        size = -(-sum(parts) // 4096) * 4096
        self._map = mmap.mmap(-1, HEAD_BYTES + slots * size)
        view = memoryview(self._map)
        self.head = view[:64].cast("Q")
        self.slots = [Slot(view[HEAD_BYTES + i * size : HEAD_BYTES + (i + 1) * size], i, parts) for i in range(slots)]

    def order(self, order: int) -> None:
        """To all children. One that is to leave does so whatever the others do."""
        for slot in self.slots:
            slot.words[ORDER] = max(order, LEAVE if slot.is_leaving else RUN)


class Slot:
    """One child's place, as its supervisor uses it."""

    def __init__(self, view: memoryview, index: int, sizes: Sequence[int]) -> None:
        self.index = index
        ends = accumulate(sizes)
        parts = [view[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        words, seats, since, self._name, self.entries, self.verdicts, meters, logs, reports, limits, lines = parts
        self.words, self.seats, self.since = words.cast("Q"), seats.cast("Q"), since.cast("Q")
        self._logs, self._reports, self._report_words = logs, reports, reports.cast("Q")
        self.bounds = bounds.Bounds(limits)
        self.cells, self.sums = meters.cast("Q"), meters.cast("d")
        """The same memory, for counts and for seconds."""
        self.lock = new_lock()
        self.lines = Lines(lines, self.lock)
        self.is_leaving = False
        """Whether its child has been told so: the supervisor's own note."""

    @property
    def name(self) -> str:
        """The worker's name in the broker."""
        return bytes(self._name[: self.words[NAME_END]]).decode()

    @name.setter
    def name(self, name: str) -> None:
        raw = name.encode()
        self._name[: len(raw)] = raw
        self.words[NAME_END] = len(raw)

    def clear(self) -> None:
        """A new child is about to use the slot; the lock is freed if the last one died with it."""
        if not self.lock.acquire(block=False):
            self.lock.release()
        else:
            self.lock.release()
        words = self.words
        words[STATE], words[OLDEST], words[ORDER], self.is_leaving = STARTING, NEVER, RUN, False
        for word in _OF_A_LIFE:
            words[word] = 0
        for seat in range(words[SEATS]):
            self.seats[seat] = 0

    def count(self, word: int) -> None:
        """One more of what is counted in this word."""
        self.words[word] += 1

    def leave(self) -> None:
        """Its child starts nothing more, and ends when nothing runs."""
        self.is_leaving = True
        self.words[ORDER] = max(self.words[ORDER], LEAVE)

    @property
    def busy(self) -> list[int]:
        """The seats of its child that run something."""
        return [seat for seat in range(self.words[SEATS]) if self.seats[seat]] if self.words[STATE] == BUSY else []

    @property
    def owes(self) -> int:
        """How many seats of its child others have."""
        return self.words[LENT] - self.words[RETURNED]

    @property
    def is_watched(self) -> bool:
        """Whether something waits in it that a slow task could hold up, and that nobody has taken away."""
        words = self.words
        return words[STATE] == BUSY and (words[OLDEST] != NEVER or words[ASKED] > 0) and not words[REVOKED]

    def is_stuck(self, now_ns: int, limit_ns: int) -> bool:
        """Whether something has waited for longer than the limit."""
        return self.is_watched and now_ns - self.words[OLDEST] > limit_ns

    def flight(self, before_ns: int) -> tuple[str, int, int] | None:
        """(worker, queue, number) of a step that has been on its way since then, and may bring something."""
        words, asked = self.words, self.words[ASKED]
        if not self.is_watched or not 0 < asked < before_ns or not self.lock.acquire(block=False):
            return None
        try:
            is_so = words[ASKED] == asked and words[FLYING] == KNOWN
            return (self.name, words[QUEUE], words[STEP] + 1) if is_so else None
        finally:
            self.lock.release()

    def revoke(self, name: str) -> list[Held]:
        """Takes what is finished and what is not started away from a busy child; nothing if it is just moving on, or
        has another name by now: then this is not its any more."""
        words = self.words
        if not self.lock.acquire(block=False):
            return []
        try:
            if words[REVOKED] or words[STATE] != BUSY or self.name != name:
                return []
            held = self._held(words[SENT])
            words[REVOKED], words[TAKEN] = 1, len(self._noted())
            words[SETTLING] += len(held)
            return held
        finally:
            self.lock.release()

    def revoked(self, name: str) -> list[Held]:
        """What was revoked and not noticed yet, while a step is on its way; nothing otherwise."""
        words = self.words
        if not self.lock.acquire(block=False):
            return []
        try:
            is_so = words[REVOKED] and words[FLYING] == KNOWN and words[STATE] == BUSY and self.name == name
            again = [held for held in self._held(words[SENT]) if held.flying is not None] if is_so else []
            words[SETTLING] += len(again)
            return again
        finally:
            self.lock.release()

    def arrived(self, name: str) -> None:
        """One of those that were revoked is settled. A child ends no name before they all are: it would give back what
        is finished."""
        is_mine = self.lock.acquire(timeout=0.05)
        try:
            if self.name == name and self.words[SETTLING]:
                self.words[SETTLING] -= 1
        finally:
            if is_mine:
                self.lock.release()

    def holds(self, name: str, queue: int) -> tuple[int, list[bytes]] | None:
        """(number of its last step, entries) of a busy child that has last stepped in this queue, and does not now."""
        words = self.words
        if not self.lock.acquire(block=False):
            return None
        try:
            is_so = words[STATE] == BUSY and words[QUEUE] == queue and self.name == name
            if not is_so or words[FLYING] != NONE or words[REVOKED]:
                return None
            found = [entry for held in self._held(0) if held.queue == queue for entry in (*held.started, *held.waiting)]
            return words[STEP] + 1, found + [_entry_of(verdict) for its, verdict in self._noted() if its == queue]
        finally:
            self.lock.release()

    def stop_starting(self) -> None:
        """The lease is lost: nothing more may start."""
        if self.lock.acquire(timeout=0.05):
            self.words[LEASE_UNTIL] = 0
            self.lock.release()

    def extend(self, until_ns: int) -> None:
        """The lease was renewed."""
        self.words[LEASE_UNTIL] = until_ns

    def running(self) -> list[bytes]:
        """The entries that were started and have not ended."""
        is_mine = self.lock.acquire(timeout=0.05)
        try:
            return [entry for held in self._held(0) for entry in held.started]
        finally:
            if is_mine:
                self.lock.release()

    def autopsy(self) -> list[Held]:
        """What a dead child leaves, by queue."""
        return self._held(0)

    def ran(self) -> list[Ran]:
        """What a dead child ran."""
        entries = self._entries()
        found = []
        for seat in range(self.words[SEATS]):
            its = self._of_seat(seat, entries)
            log = self.logged(seat) if its else b""
            found += [Ran(seat, entry, self.since[seat], queue, log, len(its)) for queue, entry in its]
        return found

    def log(self, seat: int) -> memoryview:
        """Where this thread keeps what it has logged."""
        return self._logs[seat * LOG_ROOM : (seat + 1) * LOG_ROOM]

    def logged(self, seat: int) -> bytes:
        """What was logged by the task that this thread runs."""
        room = self.log(seat)
        whose, size = LOG_HEAD.unpack_from(room)
        return bytes(room[LOG_HEAD.size : LOG_HEAD.size + size]) if whose == self.since[seat] else b""

    def report(self, seat: int, raw: bytes) -> None:
        """How far the task of this thread is. Only the thread itself calls it."""
        words, at = self._report_words, seat * REPORT_WORDS
        words[at] |= 1
        words[at + 1], words[at + 2] = self.since[seat], len(raw)
        start = 8 * (at + 3)
        self._reports[start : start + len(raw)] = raw
        words[at] += 1

    def reported(self, seat: int) -> int:
        """How often this thread has said how far it is; odd while it writes."""
        return self._report_words[seat * REPORT_WORDS]

    def read_reports(self, seats: Sequence[int]) -> list[Report | None]:
        """How far the tasks of these threads are; None: it has ended, or this cannot be said at this moment."""
        if not self.lock.acquire(block=False):
            return [None for _ in seats]
        try:
            name, entries = self.name, self._entries()
            found = [(self._of_seat(seat, entries), self.since[seat], *self._read_report(seat)) for seat in seats]
        finally:
            self.lock.release()
        return [Report(name, *its[0], raw) if its and now == since else None for its, now, since, raw in found]

    def _read_report(self, seat: int) -> tuple[int, bytes]:
        """Since when what it is about has run, and what was said. Who says something all the time is
        writing most of the time, so this looks more than once."""
        words, room, at = self._report_words, self._reports, seat * REPORT_WORDS
        start = 8 * (at + 3)
        for _ in range(TRIES):
            before = words[at]
            since, raw = words[at + 1], room[start : start + words[at + 2]].tobytes()
            if words[at] == before and not before % 2:
                return since, raw
        return 0, b""

    def _entries(self) -> list[tuple[int, bytes]]:
        """(queue, entry) of what it holds, and has begun."""
        words = self.words
        return list(_split(bytes(self.entries[: words[ENTRIES_END]]), ENTRY_FRAME))[: words[COUNT]]

    def _of_seat(self, seat: int, entries: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """What it runs: one, or a batch."""
        first, more = self.seats[seat] & LOW, self.seats[seat] >> 32
        return entries[first - 1 : first + more] if first else []

    def _noted(self) -> list[tuple[int, bytes]]:
        """(queue, verdict) of what is finished."""
        span = self.words[VERDICT_SPAN]
        return list(_split(bytes(self.verdicts[span >> 32 : span & LOW]), VERDICT_FRAME))

    def _held(self, first: int) -> list[Held]:
        """By queue; of the verdicts those that nobody has taken, from this one on."""
        words = self.words
        entries = self._entries()
        started = [one for seat in range(words[SEATS]) for one in self._of_seat(seat, entries)]
        waiting = [] if words[REVOKED] else entries[words[STARTED] :]
        noted, sent = self._noted(), words[SENT]
        kept = noted[first:sent] + noted[max(words[TAKEN], sent) :]

        def of(queue: int, items: list[tuple[int, bytes]]) -> list[bytes]:
            return [item for its, item in items if its == queue]

        def held(queue: int) -> Held:
            verdicts, is_flying = of(queue, kept), queue == words[QUEUE] and words[FLYING] == KNOWN
            return Held(
                queue, of(queue, started), of(queue, waiting), Verdicts(len(verdicts), b"".join(verdicts)),
                words[STEP], sent - first if queue == words[QUEUE] else 0,
                [_entry_of(verdict) for verdict in of(queue, noted)] if is_flying else None,
            )  # fmt: skip

        flying = [words[QUEUE]] if words[FLYING] == KNOWN else []
        return [held(queue) for queue in sorted({*flying, *(queue for queue, _ in (*started, *waiting, *kept))})]
