"""What a worker does for the attempts that one of its threads runs: `current()` asks for it here."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, get_ident
from time import time

from msgpack import Packer

from distq.context import Context
from distq.memory import Memory
from distq.worker.board import LIMIT_AT, NEVER, ORDER, REPORTING, RUN, Board, Slot
from distq.worker.hand import VOID, Hand, Item
from distq.worker.notes import last_lines

MOST_TEXT = 200
"""Characters of what is said beside the numbers."""


class Seat:
    """The desk of one thread (`distq.memory.Desk`)."""

    def __init__(self, board: Board, slot: Slot, hand: Hand, seat: int, ring: Callable[[bytes], None]) -> None:
        self._head, self._slot, self._hand, self._seat, self._ring = board.head, slot, hand, seat, ring
        self.thread = get_ident()
        """Which one it is; 0: an event loop."""
        self._reporting = Lock()
        self._pack = Packer(unicode_errors="replace").pack
        self.used_by: Context | None = None
        self.memory: Memory | None = None

    def holder(self, context: Context) -> str | None:
        """The name under which the worker holds this attempt; None: it does not any more. Both change under the lock of
        the slot."""
        with self._slot.lock:
            return self._slot.name if self.runs(context) else None

    @property
    def worker(self) -> str:
        """The name under which the worker goes on."""
        return self._hand.name

    @property
    def item(self) -> Item | None:
        """What was given to this seat."""
        return self._hand.running[self._seat]

    def runs(self, context: Context) -> bool:
        """Whether this attempt runs here. The fence tells attempts of one task apart."""
        item = self._hand.running[self._seat]
        return item is not None and item[2] == context.fence and item[0] == context.entry and item[3] != VOID

    def is_ending(self) -> bool:
        """Whether the supervisor wants the worker to end."""
        return bool(self._slot.words[ORDER] != RUN)

    def report(self, context: Context, done: float, total: float | None, text: str) -> None:
        """Onto the board, from where the supervisor sends it; it is called if it does not look. Handlers call this
        often, and it takes a microsecond."""
        with self._reporting:  # a handler may have threads of its own
            if not self.runs(context):
                return
            self.used_by = context
            self._slot.report(self._seat, self._pack((done, total, text[:MOST_TEXT], time())))
        if not self._head[REPORTING]:
            self._ring(b"p")

    def limit(self, start_ns: int, soft_s: float | None, hard_s: float | None, note: bytes) -> None:
        """What begins now has these limits; the supervisor is called if it does not look early enough."""
        soft_ns, hard_ns = ((NEVER if limit is None else start_ns + int(limit * 1e9)) for limit in (soft_s, hard_s))
        self._slot.bounds.limit(self._seat, start_ns, soft_ns, hard_ns, note and self.thread.to_bytes(8) + note)
        if min(soft_ns, hard_ns) < self._head[LIMIT_AT]:
            self._ring(b"l")

    def is_cancelled(self, start_ns: int) -> bool:
        """Whether the attempt that has begun then was cancelled."""
        return self._slot.bounds.is_cancelled(self._seat, start_ns)

    def complete(self) -> None:
        """An attempt that has used this desk has a result."""
        if self.memory is not None:
            self.memory.note_swallowed()

    def finish(self, context: Context) -> None:
        """An attempt has ended without a result."""
        if self.memory is not None and self.memory.context is context:
            self.memory.finish()

    async def afinish(self, context: Context) -> None:
        """The same on an event loop, once."""
        memory, self.memory = self.memory, None
        if memory is not None and memory.context is context:
            await memory.afinish()

    @property
    def log(self) -> str:
        """The last lines that the running task has logged."""
        return last_lines(self._slot.logged(self._seat))

    def forget(self) -> None:
        """Nothing runs."""
        self.used_by = self.memory = None
