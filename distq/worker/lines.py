"""Lines of the log about ended attempts, on the status board until they are written.

They go the way of the verdicts: the child notes them, and whoever sends the broker its verdicts writes them before, be
it the child or, behind a slow task or when the child has died, its supervisor. So they are written many at a time, and
a process that is killed takes none with it.
"""

from __future__ import annotations

from distq.worker.lock import Lock

LINES_BYTES = 32768
ROOM = LINES_BYTES - 8


class Lines:
    """Room for some of one child."""

    def __init__(self, view: memoryview, lock: Lock) -> None:
        self._ends, self._room, self._lock = view[:8].cast("Q"), view[8:], lock
        self._acquire, self._release = lock.acquire, lock.release

    def note(self, line: bytes) -> bytes:
        """Adds one. What is to be written now, since there is no room for more."""
        rest, ends, room = b"", self._ends, self._room
        self._acquire()
        try:
            start = ends[0]
            end = start + len(line)
            if end > ROOM:
                rest, start, end = bytes(room[:start]), 0, len(line)
                if end > ROOM:
                    rest, line, end = rest + line, b"", 0
            room[start:end] = line
            ends[0] = end
        finally:
            self._release()
        return rest

    def take(self) -> bytes:
        """All that are noted, to be written by whoever asks."""
        if not self._ends[0]:
            return b""
        is_mine = self._lock.acquire(timeout=0.05)  # its child may have died with it
        try:
            end = self._ends[0]
            self._ends[0] = 0
            return bytes(self._room[:end])
        finally:
            if is_mine:
                self._lock.release()
