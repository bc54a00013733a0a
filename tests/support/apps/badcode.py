"""What handlers do, by mistake or not."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import locale
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from distq import Distq, SoftTimeLimit
from tests.support.journal import running

app = Distq("app", retries=0)


@app.task
def ok(value: int) -> int:
    return value


@app.task
async def aok(value: int) -> int:
    return value


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def raises_mute() -> None:
    raise Mute


class Text(str):
    def encode(self, *args: Any) -> Any:
        raise RuntimeError


class Worded(Exception):
    def __str__(self) -> str:
        return Text("its own text")


class Liar(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(4)


class Nameless(type):
    @property
    def __module__(cls) -> Any:  # type: ignore[override]
        raise RuntimeError


class Unnamed(Exception, metaclass=Nameless):
    pass


def raises(error: BaseException) -> None:
    raise error


def raises_ten_megabytes() -> None:
    raise ValueError("x" * 10_000_000)


def recurses() -> None:
    recurses()


def interrupts() -> None:
    raise KeyboardInterrupt


def takes_all_memory() -> None:
    bytearray(1 << 60)


def forks_and_execs() -> str:
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", ""])
    os.waitpid(child, 0)
    return "done"


def leaves_a_fork() -> str:
    if os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
    return "done"


def ends_what_it_forks() -> str:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    process.start()
    process.terminate()
    process.join(20)
    assert process.exitcode == -signal.SIGTERM
    return "done"


def leaves_an_alarm() -> str:
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    return "done"


def blocks_signals() -> str:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGURG})
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGURG):
            signal.signal(number, signal.SIG_IGN)
    return "done"


def moves_house() -> str:
    os.chdir("/")
    os.umask(0o777)
    locale.setlocale(locale.LC_ALL, "C")
    return "done"


class Broken(io.StringIO):
    def flush(self) -> None:
        raise RuntimeError


def replaces_streams() -> str:
    """The process flushes them when it ends."""
    sys.stdout, sys.stderr = Broken(), Broken()
    return "done"


def leaves_a_thread() -> str:
    threading.Thread(target=time.sleep, args=(3600,), daemon=False).start()
    return "done"


def starts_a_program() -> str:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
    return "done"


def turns_the_collector_off() -> str:
    gc.disable()
    return "done"


def lowers_the_recursion_limit() -> str:
    sys.setrecursionlimit(90)
    return "done"


def closes_all_files() -> str:
    os.closerange(0, 4096)
    return "done"


def traces() -> None:
    def trace(*args: Any) -> Any:
        raise RuntimeError("it traces")

    sys.settrace(trace)
    sys.setprofile(trace)


def touches_address_0() -> None:
    ctypes.string_at(0)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "sys.exit": (lambda: sys.exit(3), "SystemExit: 3"),
    "KeyboardInterrupt": (interrupts, "KeyboardInterrupt"),
    "os._exit": (lambda: os._exit(7), r"killed its worker 1 time \(exit code 7"),
    "crash in C": (touches_address_0, r"killed its worker 1 time \(SIGSEGV"),
    "recursion": (recurses, "RecursionError"),
    "memory error": (takes_all_memory, "MemoryError"),
    "__str__ raises": (raises_mute, "Mute"),
    "its text has methods": (lambda: raises(Worded()), "its own text"),
    "its class raises": (lambda: raises(Liar()), "SystemExit: 4"),
    "its metaclass raises": (lambda: raises(Unnamed()), "Unnamed"),
    "a tracer that raises": (traces, "it traces"),
    "10 MB of text": (raises_ten_megabytes, "ValueError: xxx"),
    "result that cannot travel": (lambda: open, "NotSerializable"),
    "fork and exec": (forks_and_execs, ""),
    "terminate()": (ends_what_it_forks, ""),
    "a fork left behind": (leaves_a_fork, ""),
    "an alarm left behind": (leaves_an_alarm, ""),
    "signals blocked": (blocks_signals, ""),
    "folder, umask, locale": (moves_house, ""),
    "streams replaced": (replaces_streams, ""),
    "a thread left behind": (leaves_a_thread, ""),
    "a program left behind": (starts_a_program, ""),
    "no garbage collection": (turns_the_collector_off, ""),
    "recursion limit": (lowers_the_recursion_limit, ""),
    "all files closed": (closes_all_files, ""),
}
"""By name: what is done, and the error that it ends with; "": it completes."""


@app.task
def bad(name: str) -> Any:
    with running(name):
        return BAD[name][0]()


@app.task
async def abad(name: str) -> Any:
    """The same on an event loop, and what only coroutines can do."""
    with running(name):
        return await WORSE[name]() if name in WORSE else BAD[name][0]()


@app.task(soft_time_limit=0.05, time_limit=20)
def told() -> str:
    with suppress(SoftTimeLimit):
        while True:
            time.sleep(0.01)
    return "told"


async def stops_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "done"


async def leaves_what_does_not_end() -> str:
    async def go_on() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    left.append(asyncio.create_task(go_on()))
    return "done"


async def raises_in_a_callback() -> str:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: sys.exit(6))
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0.01)
    return "done"


left: list[asyncio.Task[Any]] = []
WORSE: dict[str, Callable[[], Awaitable[Any]]] = {
    "stops the loop": stops_the_loop,
    "a coroutine left behind": leaves_what_does_not_end,
    "raises in a callback": raises_in_a_callback,
}
"""All of them complete."""
