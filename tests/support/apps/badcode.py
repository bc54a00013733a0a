"""What handlers do, by mistake or not."""

from __future__ import annotations

import ctypes
import gc
import io
import locale
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from distq import Distq
from tests.support.journal import running

app = Distq("app", retries=0)


@app.task
def ok(value: int) -> int:
    return value


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def raises_mute() -> None:
    raise Mute


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


def replaces_streams() -> str:
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
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
    "10 MB of text": (raises_ten_megabytes, "ValueError: xxx"),
    "result that cannot travel": (lambda: open, "NotSerializable"),
    "fork and exec": (forks_and_execs, ""),
    "a fork left behind": (leaves_a_fork, ""),
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
