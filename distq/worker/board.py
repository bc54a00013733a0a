"""The status board: anonymous shared memory, made before the fork, in which a child says what it does.

The supervisor reads it when a child dies, hangs or is slow; it costs the broker nothing. Per slot:

    header    64-bit words, each written by one side only, except where a lock is named below
    name      the worker's name
    entries   what the current batch holds, in order
    verdicts  what is finished of it but not yet settled, in wire form
    meters    counters that go on when the child is replaced

One rule needs a lock, the slot's: *a task is started by the child, or given back by the supervisor, never both*. The
child takes it to start a task, the supervisor to revoke what is not started. Its cost is in docs/decisions/0007.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Lock
from time import monotonic_ns
from typing import NamedTuple

from distq.broker.verbs import NO_VERDICTS, Verdicts

WORDS = 32
NAME_BYTES = 256
MAX_ENTRY_BYTES = 400
"""More than an id of 200 bytes and the number of its life. What is longer was never enqueued by us, and is not run."""
ENTRIES_BYTES = 64 << 10
_SIZE = struct.Struct(">H")
VERDICT_BYTES = 4 << 20
"""Room for verdicts: the largest result (1 MiB by default), and a batch of small ones. Untouched pages cost nothing."""
LARGE_VERDICT = 16 << 10
"""There is always room for a batch of verdicts that are not larger: a large one leaves it free."""
_SPARE = 128 * LARGE_VERDICT
TYPES = 1000
STATUSES = ("success", "retry", "failed")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Upper bounds of the duration histogram, in seconds."""
_STRIDE = len(STATUSES) + len(BUCKETS) + 1 + 1  # statuses, buckets with +Inf, sum in seconds
METER_BYTES = (TYPES + 1) * _STRIDE * 8
SLOT_BYTES = -(-(WORDS * 8 + NAME_BYTES + ENTRIES_BYTES + VERDICT_BYTES + METER_BYTES) // 4096) * 4096
HEAD_BYTES = 4096

# words of a slot; those of the second line change with each task, and are written together
STATE, STEP, QUEUE, COUNT, ALONE = range(5)
STARTED, FINISHED, STARTED_AT, VERDICTS, VERDICT_END = range(5, 10)
TAKEN, TAKEN_END, REVOKED, BATCH_AT, LEASE_UNTIL, ENTRIES_END, NAME_END, PID, DOUBTED = range(10, 19)
_PROGRESS = struct.Struct("=5Q")
_PACK_PROGRESS = _PROGRESS.pack_into

# states of a slot
EMPTY, STARTING, IDLE, BUSY, SETTLING, LEFT = range(6)

# words of the head
ORDER, WATCHING = range(2)

# orders to all children
RUN, DRAIN, QUIT = range(3)


def _split(raw: bytes) -> Iterator[bytes]:
    """Entries, each behind its length: an id from elsewhere may hold any byte."""
    at = 0
    while at < len(raw):
        end = at + _SIZE.size + _SIZE.unpack_from(raw, at)[0]
        yield raw[at + _SIZE.size : end]
        at = end


class Batch(NamedTuple):
    """What the supervisor sees of a slot's current batch, consistent under the lock."""

    step: int
    queue: int
    entries: list[bytes]
    started: int
    finished: int
    verdicts: Verdicts


class Board:
    """The shared memory of one host: a head and one slot per child."""

    def __init__(self, slots: int) -> None:
        self._map = mmap.mmap(-1, HEAD_BYTES + slots * SLOT_BYTES)
        view = memoryview(self._map)
        self.head = view[:64].cast("Q")
        self.slots = [
            Slot(view[HEAD_BYTES + i * SLOT_BYTES : HEAD_BYTES + (i + 1) * SLOT_BYTES], i) for i in range(slots)
        ]


class Slot:
    """One child's place. Methods are grouped by who may call them."""

    def __init__(self, view: memoryview, index: int) -> None:
        self.index = index
        self._progress = view[STARTED * 8 : (VERDICT_END + 1) * 8]
        self._started = self._finished = self._noted = self._end = 0  # the child's copy of its progress
        self.words = view[: WORDS * 8].cast("Q")
        at = WORDS * 8
        self._name = view[at : at + NAME_BYTES]
        at += NAME_BYTES
        self._entries = view[at : at + ENTRIES_BYTES]
        at += ENTRIES_BYTES
        self._verdicts = view[at : at + VERDICT_BYTES]
        at += VERDICT_BYTES
        self.cells = view[at : at + METER_BYTES].cast("Q")
        self.sums = view[at : at + METER_BYTES].cast("d")
        """The same memory, for the cells that hold seconds."""
        self.lock: Lock = get_context("fork").Lock()
        self._acquire, self._release = self.lock.acquire, self.lock.release

    @property
    def name(self) -> str:
        """The worker's name in the broker."""
        return bytes(self._name[: self.words[NAME_END]]).decode()

    # -- the child ---------------------------------------------------------------------------------------------------

    def enter(self, name: str, lease_until_ns: int) -> None:
        """The child has registered under this name."""
        raw = name.encode()
        words = self.words
        with self.lock:
            self._name[: len(raw)] = raw
            words[NAME_END] = len(raw)
            words[STEP] = words[COUNT] = words[TAKEN] = words[TAKEN_END] = words[REVOKED] = 0
            self._started = self._finished = self._noted = self._end = 0
            self._write_progress(0)
            words[LEASE_UNTIL] = lease_until_ns
            words[DOUBTED] = 0
            words[STATE] = IDLE

    def begin(self, step: int, queue: int, entries: list[bytes], alone: bool) -> None:
        """A batch was reserved; nothing of it is started."""
        raw = b"".join([part for entry in entries for part in (_SIZE.pack(len(entry)), entry)])
        words = self.words
        with self.lock:
            self._entries[: len(raw)] = raw
            words[ENTRIES_END] = len(raw)
            words[STEP], words[QUEUE], words[COUNT], words[ALONE] = step, queue, len(entries), alone
            words[TAKEN] = words[TAKEN_END] = words[REVOKED] = 0
            self._started = self._finished = self._noted = self._end = 0
            self._write_progress(0)
            words[BATCH_AT], words[DOUBTED] = monotonic_ns(), 0
            words[STATE] = BUSY

    def start(self, now_ns: int, last: bytes = b"") -> bool:
        """Notes the verdict on the last task, if there is one, and claims the next of the batch.

        False: that is not the child's any more, or the lease is over.
        """
        words = self.words
        self._acquire()
        try:
            if last:
                self._note(last)
            is_mine = now_ns <= words[LEASE_UNTIL] and not words[REVOKED]
            if is_mine:
                self._started += 1
            _PACK_PROGRESS(self._progress, 0, self._started, self._finished, now_ns, self._noted, self._end)
            return is_mine
        finally:
            self._release()

    def _note(self, verdict: bytes) -> None:
        """The task that was started last has ended with this verdict. The lock is held; the progress is still to be
        written."""
        end = self._end
        self._end = new_end = end + len(verdict)
        self._verdicts[end:new_end] = verdict
        self._noted += 1
        self._finished += 1

    def _write_progress(self, started_at: int) -> None:
        _PROGRESS.pack_into(self._progress, 0, self._started, self._finished, started_at, self._noted, self._end)

    def has_room(self, size: int) -> bool:
        """Whether a verdict of this size can be noted before the next step."""
        return self._end + size <= VERDICT_BYTES - (_SPARE if size > LARGE_VERDICT else 0)

    def hand_in(self) -> Verdicts:
        """The verdicts that nobody has taken yet, to be settled in the middle of a batch."""
        words = self.words
        with self.lock:
            words[STATE] = SETTLING  # the supervisor lets it be meanwhile
            count, start, end = words[VERDICTS] - words[TAKEN], words[TAKEN_END], words[VERDICT_END]
        return Verdicts(count, bytes(self._verdicts[start:end]))

    def handed_in(self, step: int) -> None:
        """They are settled, by the step of this number: their room is free."""
        words = self.words
        with self.lock:
            words[STEP], words[STATE] = step, BUSY
            words[TAKEN] = words[TAKEN_END] = self._noted = self._end = 0
            self._write_progress(words[STARTED_AT])

    def close(self, last: bytes = b"") -> tuple[Verdicts, int]:
        """Notes the verdict on the last task, if there is one, and ends the batch for the supervisor.

        Gives the verdicts not taken yet, and how many entries are still held but were not started, from the end of the
        batch. A verdict that is larger than the board goes along without being noted.
        """
        words = self.words
        with self.lock:
            if last and self.has_room(len(last)):
                self._note(last)
                self._write_progress(words[STARTED_AT])
                last = b""
            unstarted = 0 if words[REVOKED] else words[COUNT] - words[STARTED]
            words[REVOKED], words[STATE] = 1, SETTLING
            count, start, end = words[VERDICTS] - words[TAKEN], words[TAKEN_END], words[VERDICT_END]
        items = bytes(self._verdicts[start:end])
        return Verdicts(count + 1, items + last) if last else Verdicts(count, items), unstarted

    def rest(self) -> None:
        """Nothing is held."""
        self.words[STATE] = IDLE

    def leave(self) -> None:
        """The child has given everything back and ends."""
        self.words[STATE] = LEFT

    # -- the supervisor ----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """A new child is about to use the slot; the lock is freed if the last one died with it."""
        if not self.lock.acquire(block=False):
            self.lock.release()
        else:
            self.lock.release()
        self.words[STATE] = STARTING
        self.words[NAME_END] = self.words[COUNT] = self.words[STARTED] = self.words[FINISHED] = 0
        self.words[VERDICTS] = self.words[VERDICT_END] = self.words[TAKEN] = self.words[TAKEN_END] = 0

    def is_stuck(self, now_ns: int, limit_ns: int) -> bool:
        """Whether a batch of several is older than the limit and nobody has revoked it."""
        words = self.words
        return words[STATE] == BUSY and words[COUNT] > 1 and not words[REVOKED] and now_ns - words[BATCH_AT] > limit_ns

    def revoke(self) -> Batch | None:
        """Takes what is finished and what is not started away from a busy child; None if it is just moving on."""
        words = self.words
        if not self.lock.acquire(block=False):
            return None
        try:
            if words[REVOKED] or words[STATE] != BUSY:
                return None
            words[REVOKED] = 1
            batch = self._read(0)
            words[TAKEN], words[TAKEN_END] = words[VERDICTS], words[VERDICT_END]
            return batch
        finally:
            self.lock.release()

    def stop_starting(self) -> None:
        """The lease is lost: nothing more of the batch may start."""
        if self.lock.acquire(timeout=0.05):
            self.words[LEASE_UNTIL] = 0
            self.lock.release()

    def extend(self, until_ns: int) -> None:
        """The lease was renewed."""
        self.words[LEASE_UNTIL] = until_ns

    def running(self) -> list[bytes]:
        """The entries that were started and have not ended."""
        batch = self._read(0)
        return batch.entries[batch.finished : batch.started]

    def autopsy(self) -> Batch:
        """What a dead child leaves: verdicts that nobody has taken, and what was running."""
        return self._read(self.words[TAKEN_END])

    def _read(self, start: int) -> Batch:
        words = self.words
        entries = list(_split(bytes(self._entries[: words[ENTRIES_END]])))[: words[COUNT]]
        count = words[VERDICTS] - (words[TAKEN] if start else 0)
        verdicts = Verdicts(count, bytes(self._verdicts[start : words[VERDICT_END]])) if count else NO_VERDICTS
        return Batch(words[STEP], words[QUEUE], entries, words[STARTED], words[FINISHED], verdicts)


class Meters:
    """A child's counters in its slot: by type and status, and a histogram of durations."""

    def __init__(self, slot: Slot, types: list[str]) -> None:
        self._cells, self._sums = slot.cells, slot.sums
        self._base = {name: min(index, TYPES) * _STRIDE for index, name in enumerate(types)}

    def __call__(self, type: str) -> Callable[[str, float], None]:
        """Counts an ended attempt of this type: (status, seconds)."""
        base = self._base[type]
        place = {status: base + index for index, status in enumerate(STATUSES)}
        buckets, total = base + len(STATUSES), base + _STRIDE - 1
        cells, sums, shortest = self._cells, self._sums, BUCKETS[0]

        def count(status: str, seconds: float) -> None:
            cells[place[status]] += 1
            cells[buckets if seconds <= shortest else buckets + bisect_left(BUCKETS, seconds)] += 1
            sums[total] += seconds

        return count


class Reading(NamedTuple):
    """The counters of one type over all slots."""

    statuses: tuple[int, ...]
    buckets: tuple[int, ...]
    sum_s: float


def read_meters(board: Board, position: int) -> Reading:
    """Adds up the counters of the type at this position over all slots."""
    base = min(position, TYPES) * _STRIDE
    counts, total = [0] * (_STRIDE - 1), 0.0
    for slot in board.slots:
        for i, value in enumerate(slot.cells[base : base + _STRIDE - 1]):
            counts[i] += value
        total += slot.sums[base + _STRIDE - 1]
    return Reading(tuple(counts[:3]), tuple(counts[3:]), total)
