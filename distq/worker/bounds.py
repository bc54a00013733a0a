"""What bounds a running task, on the status board: its time limits, which the child notes, and that it is to be told
of the soft one, which its supervisor orders. Both say which run they mean by its begin, so neither ever means the next
task of that seat.

Per seat, 64-bit words and a text:

    since      when the run has begun that this is about; whoever writes names it last
    soft, hard when it is over, by the monotonic clock (NEVER: not so)
    size       of the note
    ordered    when the run has begun that is to be told; 0: it was
    cancelled  when the run has begun that was last cancelled: it is told that, else that its soft limit is over
    note       the thread that runs it (0: an event loop), and what becomes of the task if its process is ended at the
               hard limit
"""

from __future__ import annotations

NEVER = (1 << 63) - 1
"""As a time on the board: there is no limit; as OLDEST: nothing waits, neither to be started nor to be settled."""
NOTE_BYTES = 768
SINCE, SOFT, HARD, SIZE, ORDERED, CANCELLED = range(6)
NOTE = 8 * 6
ROOM_WORDS = 6 + NOTE_BYTES // 8
ROOM_BYTES = 8 * ROOM_WORDS


class Bounds:
    """Those of all seats of one child."""

    def __init__(self, view: memoryview) -> None:
        self._words, self._bytes = view.cast("Q"), view

    # -- the child ---------------------------------------------------------------------------------------------------

    def limit(self, seat: int, since_ns: int, soft_ns: int, hard_ns: int, note: bytes) -> None:
        """The task that has begun then in this seat has these limits."""
        words, at = self._words, seat * ROOM_WORDS
        self._bytes[8 * at + NOTE : 8 * at + NOTE + len(note)] = note
        words[at + SOFT], words[at + HARD], words[at + SIZE] = soft_ns, hard_ns, len(note)
        words[at + SINCE] = since_ns

    def is_ordered(self, seat: int, since_ns: int) -> bool:
        """Whether the task that has begun then is to be told."""
        return self._words[seat * ROOM_WORDS + ORDERED] == since_ns

    def is_cancelled(self, seat: int, since_ns: int) -> bool:
        """Whether the task that has begun then was cancelled."""
        return self._words[seat * ROOM_WORDS + CANCELLED] == since_ns

    def obey(self, seat: int) -> None:
        """It was told."""
        self._words[seat * ROOM_WORDS + ORDERED] = 0

    # -- the supervisor ----------------------------------------------------------------------------------------------

    def limits(self, seat: int, since_ns: int) -> tuple[int, int]:
        """Soft and hard limit of the task that has begun then."""
        words, at = self._words, seat * ROOM_WORDS
        return (words[at + SOFT], words[at + HARD]) if words[at] == since_ns else (NEVER, NEVER)

    def note(self, seat: int) -> tuple[int, bytes]:
        """The thread of the task, and what becomes of it at its hard limit."""
        at = seat * ROOM_WORDS
        raw = bytes(self._bytes[8 * at + NOTE : 8 * at + NOTE + self._words[at + SIZE]])
        return int.from_bytes(raw[:8]), raw[8:]

    def order(self, seat: int, since_ns: int) -> None:
        """Has the task that has begun then told, when its child looks."""
        self._words[seat * ROOM_WORDS + ORDERED] = since_ns

    def cancel(self, seat: int, since_ns: int) -> None:
        """The same, that it is cancelled."""
        self._words[seat * ROOM_WORDS + CANCELLED] = since_ns
        self.order(seat, since_ns)
