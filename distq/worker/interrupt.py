"""Raising in a handler, while it runs: its soft time limit is over, or its task is cancelled.

The supervisor, which no handler can block, keeps the time. It orders on the status board and sends a signal; here that
becomes an exception where the handler is, and nowhere else: not in distq's own code around it, not while it is noted
that a step was done, and not in `logging`, which would keep its locks. If it is somewhere else just now, the supervisor
sends the signal again.

SIGURG: nobody uses it, and whoever does not expect it is not ended by it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import distq
from distq.memory import Memory
from distq.outcome import Cancelled, SoftTimeLimit
from distq.worker import board
from distq.worker.board import Slot

if TYPE_CHECKING:
    import asyncio

SIGNAL = signal.SIGURG
PATIENCE_S = 0.01

_OURS = os.path.dirname(distq.__file__) + os.sep
_NOTES_A_STEP = Memory.tell.__code__
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
_withdraw_from = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)

Obey = Callable[[], type[BaseException]]
"""Notes that a handler is told, and says what."""


Tell = Callable[[int, int, Obey, FrameType | None], None]
"""(seat, begin of its run, obey, where the main thread is)."""


def listen(slot: Slot, tell: Tell) -> None:
    """From now on, has each seat told that is to be: `tell(seat, since, obey, frame)` calls `obey` if it can do it."""

    def called(number: int, frame: FrameType | None) -> None:
        for seat in range(slot.words[board.SEATS]):
            since = slot.since[seat]
            if slot.seats[seat] and slot.bounds.is_ordered(seat, since):
                tell(seat, since, partial(obey, slot, seat, since), frame)

    if threading.current_thread() is threading.main_thread():
        signal.signal(SIGNAL, called)


def obey(slot: Slot, seat: int, since_ns: int) -> type[BaseException]:
    """Notes that a handler is told, and says what."""
    slot.bounds.obey(seat)
    return Cancelled if slot.bounds.is_cancelled(seat, since_ns) else SoftTimeLimit


def _is_kept_from(frame: FrameType) -> bool:
    """Whether nothing is raised while this runs."""
    return frame.f_code is _NOTES_A_STEP or frame.f_code.co_filename == logging.__file__


class Door:
    """The way into what the main thread runs: signals are handled there, between two of its own steps."""

    def __init__(self, runs: Sequence[CodeType], calls: CodeType) -> None:
        """`runs`: what calls handlers; `calls`: the same behind middleware, or for a batch."""
        self._runs, self._calls = runs, calls
        self.coroutine: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        """What an `async` handler is awaited by."""
        self.told: type[BaseException] | None = None
        """What it was cancelled from here for."""

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a handler that may be told."""
        return call

    def tell(self, obey: Obey, is_current: Callable[[], bool], frame: FrameType | None) -> None:
        """Raises in the handler, if that is where it is."""
        if not self._cancels(obey) and self._is_in_handler(frame):
            raise obey()

    def _cancels(self, obey: Obey) -> bool:
        coroutine = self.coroutine
        if coroutine is None:
            return False
        self.told = obey()
        loop, task = coroutine
        loop.call_soon_threadsafe(task.cancel)
        return True

    def _is_in_handler(self, frame: FrameType | None) -> bool:
        inner, is_behind_middleware = None, False
        while frame is not None and frame.f_code not in self._runs:
            if _is_kept_from(frame):
                return False
            is_behind_middleware = is_behind_middleware or frame.f_code is self._calls
            inner, frame = frame, frame.f_back
        is_direct = inner is not None and not inner.f_code.co_filename.startswith(_OURS)
        return frame is not None and (is_direct or is_behind_middleware)


class ThreadDoor(Door):
    """The way into what another thread runs. It is open while that is in the handler; whoever tells keeps it from being
    closed meanwhile, so what is raised is raised in there. A thread that is in C code notices behind that."""

    def __init__(self, runs: Sequence[CodeType], calls: CodeType) -> None:
        super().__init__(runs, calls)
        self._thread, self._lock = threading.get_ident(), threading.Lock()
        self._is_open = self._is_struck = False

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a handler that may be told."""

        def opened(*args: Any, **kwargs: Any) -> Any:
            self._is_struck, self._is_open = False, True
            try:
                try:
                    return call(*args, **kwargs)
                finally:
                    self._close()
            except BaseException:
                self._close()  # it was told in the middle of that
                raise

        return opened

    def _close(self) -> None:
        with self._lock:
            self._is_open = False
            if self._is_struck:
                _withdraw_from(self._thread, None)

    def tell(self, obey: Obey, is_current: Callable[[], bool], frame: FrameType | None) -> None:
        """Has it raised in that thread."""
        if not self._lock.acquire(timeout=PATIENCE_S):
            return
        try:
            if not self._is_open or not is_current() or self._cancels(obey):
                return
            there = sys._current_frames().get(self._thread)
            while there is not None and there.f_code not in self._runs:
                if _is_kept_from(there):
                    return
                there = there.f_back
            self._is_struck = True
            _raise_in(self._thread, obey())
        finally:
            self._lock.release()


class Doors:
    """Those of a process, by seat."""

    def __init__(self, slot: Slot, is_shared: bool) -> None:
        self._slot, self._make = slot, ThreadDoor if is_shared else Door
        self._doors: dict[int, Door] = {}

    def new(self, seat: int, runs: Sequence[CodeType], calls: CodeType) -> Door:
        """For the thread that calls this."""
        door = self._doors[seat] = self._make(runs, calls)
        return door

    def tell(self, seat: int, since: int, obey: Obey, frame: FrameType | None) -> None:
        """The soft limit of this run is over. Called in the main thread, between any two steps of it."""
        door = self._doors.get(seat)
        if door is not None:
            door.tell(obey, lambda: bool(self._slot.since[seat] == since), frame)
