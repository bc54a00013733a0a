"""The tasks that are measured. A worker host imports them, and the benchmarks enqueue them."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from benchmarks import work
from distq import Distq, current

app = Distq("bench")

_leaked: list[bytes] = []
LOG = os.environ.get("BENCH_LOG", "")


@app.task(type="noop")
def noop(number: int) -> int:
    """Nothing, with a stored result."""
    return number


@app.task(type="leak", result_ttl=0)
def leak(size: int) -> None:
    """Keeps memory for ever."""
    _leaked.append(b"x" * size)


@app.task(type="sleep")
def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


@app.task(type="nap")
def nap(seconds: float) -> tuple[str, int, int]:
    """Waits; says in which slot, and when it began and ended (monotonic nanoseconds)."""
    begun = time.monotonic_ns()
    time.sleep(seconds)
    return f"{os.getpid()} {threading.get_ident()}", begun, time.monotonic_ns()


@app.task(type="burn")
def burn(seconds: float) -> None:
    """Uses the processor."""
    work.burn(seconds)


@app.task(type="stamp", priority="high")
def stamp(number: int) -> int:
    """When it started, in monotonic nanoseconds: all processes of a machine share that clock."""
    return time.monotonic_ns()


@app.task(type="note")
def note(number: int, due: float) -> None:
    """Writes down how late it started."""
    late = time.time() - due
    with open(LOG, "a", encoding="ascii") as file:
        file.write(f"{number} {late * 1000:.3f}\n")


@app.task(type="tock")
def tock() -> None:
    """Writes down how late the tick is."""
    tick = current().headers.get("tick")
    if tick:
        with open(LOG, "a", encoding="ascii") as file:
            file.write(f"{time.time() * 1000 - tick:.3f}\n")


@app.task(type="tick-of")
def tick_of() -> None:
    """Writes down which tick it is."""
    with open(LOG, "a", encoding="ascii") as file:
        file.write(f"{current().headers['tick']:.0f}\n")


@app.task(type="fail")
def fail() -> None:
    """Writes down when it ran, and fails."""
    with open(LOG, "a", encoding="ascii") as file:
        file.write(f"{current().id} {current().attempt} {time.time():.6f}\n")
    raise RuntimeError("as planned")


@app.task(type="maybe")
def maybe(seconds: float) -> None:
    """Nothing, mostly; now and then it waits."""
    if seconds:
        time.sleep(seconds)


@app.task(type="loaded")
def loaded() -> list[str]:
    """What the worker has imported."""
    return sorted(sys.modules)


@app.task(type="die")
def die(note: str) -> float:
    """Writes down when it is, and kills its process; the second time it says when it started."""
    now, path = time.time(), Path(note)
    if not path.exists():
        path.write_text(f"{now:.6f}", "ascii")
        os.kill(os.getpid(), signal.SIGKILL)
    return now


KINDS = ("sleeps", "swallows", "in C", "computes")


@app.task(type="stubborn", time_limit=1, retries=0)
def stubborn(kind: str) -> None:
    """Does not want to end, in one of several ways."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if kind == "in C":
        re.match(r"(a+)+$", "a" * 60 + "b")
    while True:
        try:
            while kind == "computes":
                pass
            time.sleep(60 if kind == "sleeps" else 0.01)
        except BaseException:
            continue
