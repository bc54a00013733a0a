"""What a worker does for the attempts that one of its threads runs: `current()` asks for it here."""

from __future__ import annotations

from distq.context import Context
from distq.memory import Memory
from distq.worker.board import ORDER, RUN, Board, Slot
from distq.worker.hand import VOID, Hand


class Seat:
    """The desk of one thread (`distq.memory.Desk`)."""

    def __init__(self, board: Board, slot: Slot, hand: Hand, seat: int) -> None:
        self._head, self._slot, self._hand, self._seat = board.head, slot, hand, seat
        self.used_by: Context | None = None
        self.memory: Memory | None = None

    def holder(self, context: Context) -> str | None:
        """The name under which the worker holds this attempt; None: it does not any more. The fence tells attempts of
        one task apart, and both change under the lock of the slot."""
        with self._slot.lock:
            item = self._hand.running[self._seat]
            is_held = item is not None and (item[0], item[2]) == (context.entry, context.fence) and item[3] != VOID
            return self._slot.name if is_held else None

    def is_ending(self) -> bool:
        """Whether the supervisor wants the worker to end."""
        return bool(self._head[ORDER] != RUN)

    def finish(self, context: Context) -> None:
        """An attempt has ended without a result."""
        if self.memory is not None and self.memory.context is context:
            self.memory.finish()

    def forget(self) -> None:
        """Nothing runs."""
        self.used_by = self.memory = None
