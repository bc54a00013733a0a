"""What every thread and coroutine of a worker is at, with the task that it runs, when somebody asks with USR1."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from distq.worker import board
from distq.worker.board import Slot
from distq.worker.hand import Item

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("distq.worker")

OWN_WORDS = b"\x00"
"""In the dump, what stands behind it is what the process itself has said, with coroutines and tasks."""
MOST_TEXT = 16 << 10

DUMP: signal.Signals | None = getattr(signal, "SIGRTMIN", None)
"""A process that gets it writes into its dump where its threads are, also from within C code. Not everywhere."""


class Shown(Protocol):
    """A worker, as far as it is shown."""

    def shown(self) -> list[tuple[Item | None, list[asyncio.Task[Any]]]]: ...  # noqa: D102


def show_on_demand(slot: Slot, worker: Shown, dump: int) -> None:
    """At USR1. The second way is for a process that is in C code and cannot answer: its supervisor reads the dump."""

    def show(number: int, frame: FrameType | None) -> None:
        try:
            text = text_of(worker, frame)
            say_with_stack(logger, "stacks, as asked for with USR1", text)
            os.write(dump, OWN_WORDS + text.encode("utf-8", "replace")[:MOST_TEXT])
        finally:
            slot.words[board.SHOWN] += 1

    signal.signal(signal.SIGUSR1, show)
    faulthandler.register(signal.SIGUSR1, file=dump, all_threads=True, chain=True)
    if DUMP is not None:
        faulthandler.register(DUMP, file=dump, all_threads=True)


def text_of(worker: Shown, interrupted: FrameType | None) -> str:
    """All stacks. `interrupted`: where the main thread is."""
    seats, frames = worker.shown(), sys._current_frames()
    main, parts = threading.main_thread(), []
    for thread in threading.enumerate():
        seat = 0 if thread is main and len(seats) == 1 else _seat_of(thread.name)
        item = seats[seat][0] if seat is not None and seat < len(seats) else None
        frame = interrupted if thread is main else frames.get(thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame else "  -"
        parts.append(f"thread {thread.name}{_named(item)}:\n{stack}")
    for item, tasks in seats:
        parts += [f"coroutine {task.get_name()}{_named(item)}:\n{_stack_of(task)}" for task in tasks]
    return "\n".join(parts).rstrip()


def say_with_stack(logger: logging.Logger, text: str, stack: str) -> None:
    """One line, and below it lines as they are."""
    record = logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None, sinfo=stack)
    logger.handle(record)


def tasks_of(loop: asyncio.AbstractEventLoop | None) -> list[asyncio.Task[Any]]:
    """Those that have not ended. Another thread may begin or end some meanwhile."""
    if loop is None:
        return []
    import asyncio  # noqa: PLC0415 (it is there, if there is a loop)

    try:
        return list(asyncio.all_tasks(loop))
    except RuntimeError:
        return []


def _stack_of(task: asyncio.Task[Any]) -> str:
    """A coroutine, what it awaits, what that awaits, and so on."""
    lines: list[str] = []
    coroutine: Any = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        lines += traceback.format_stack(frame, 1)
        coroutine = coroutine.cr_await
    return "".join(lines)


def _seat_of(name: str) -> int | None:
    number = name.removeprefix("distq-")
    return int(number) - 1 if number.isdigit() else None


def _named(item: Item | None) -> str:
    return "" if item is None else f" runs {item[0].decode('utf-8', 'replace')}"
