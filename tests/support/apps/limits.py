"""Handlers whose time is over, and that do not want to know."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

from distq import Cancelled, Distq, RetryRule, SoftTimeLimit, TimeLimit
from distq.options import TaskOptions
from tests.support.gates import apass_gate, pass_gate
from tests.support.journal import running, write

app = Distq("app")

HARD: TaskOptions = {"time_limit": 0.4, "retries": 0}


@app.task(**HARD)
def sleeps() -> None:
    with running():
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(60)


@app.task(**HARD)
def swallows() -> None:
    with running():
        while True:
            try:
                time.sleep(0.01)
            except BaseException:
                continue


@app.task(**HARD)
def spins_in_c() -> None:
    with running():
        re.match(r"(a+)+$", "a" * 60 + "b")  # keeps the interpreter for ever


@app.task(**HARD)
def ignores_signals() -> None:
    with running():
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if number < 32 and signal.getsignal(number) is not None:
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    continue
        while True:
            pass


@app.task(**HARD)
def stops_itself() -> None:
    """Where it is cannot be asked, and nobody waits for that."""
    with running():
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)


@app.task(**HARD)
async def awaits() -> None:
    with running():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue


STUBBORN = (sleeps, swallows, spins_in_c, ignores_signals, stops_itself, awaits)


@app.task
def waits_for(gate: str) -> str:
    with running():
        pass_gate(gate)
        return "done"


@app.task
def quick(number: int) -> int:
    return number


@app.task(time_limit="300ms", retry_rules={TimeLimit: RetryRule(retries=1, backoff=0.05)}, retries=0)
def hangs_once(gate: str) -> str:
    with running():
        if Path(gate).exists():
            return "done"
        Path(gate).touch()
        write("HANG")
        time.sleep(60)
        return "never"


@app.task(soft_time_limit=0.2, retries=0)
def is_told() -> str:
    with running():
        try:
            while True:
                time.sleep(0.01)
        except SoftTimeLimit:
            return "told"


@app.task(soft_time_limit=0.01)
def is_deaf(gate: str) -> str:
    """And so are all that come after it in its process."""
    signal.signal(signal.SIGURG, signal.SIG_IGN)
    pass_gate(gate)
    return "not told"


@app.task(soft_time_limit=0.2, retries=0)
def is_told_and_raises() -> str:
    with running():
        while True:
            time.sleep(0.01)


@app.task(soft_time_limit=0.2, retries=0)
async def awaits_for_long() -> str:
    with running():
        await asyncio.sleep(60)
        return "never"


@app.task(soft_time_limit=0.001, retries=0)
def races(number: int) -> int:
    """Ends at about the time at which it would be told."""
    end = time.monotonic() + 0.0008 + number % 7 * 0.0001
    while time.monotonic() < end:
        pass
    return number


@app.task(retries=5, backoff=0.01)
def swallows_once(gate: str) -> str:
    """Makes an error of its cancellation, and would be tried again."""
    with running():
        try:
            pass_gate(gate)
        except Cancelled:
            raise LookupError("not me") from None
        return "done"


@app.task
async def awaits_gate(gate: str) -> str:
    with running():
        await apass_gate(gate)
        return "done"


@app.task(retries=0)
def cancels_itself() -> None:
    raise Cancelled
