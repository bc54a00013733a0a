"""Tasks whose process dies in the ways in which processes die."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from pathlib import Path

from distq import Distq
from tests.support.gates import pass_gate

app = Distq("app")

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("shop.images")


class Mute(Exception):
    def __str__(self) -> str:
        raise TypeError


@app.task
def says(lines: int, gate: str = "") -> None:
    """Logs so much, and then its process is killed; or, with a gate, says so and waits."""
    for number in range(lines):
        logger.info("line %d", number)
    if not gate:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    Path(f"{gate}-said").touch()
    pass_gate(gate)


@app.task
def quiet() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@app.task
def touches_address_0() -> None:
    ctypes.string_at(0)


@app.task
def grows(mebibytes: int) -> None:
    """Each page is touched, so that it counts."""
    kept = b"x" * (mebibytes << 20)
    os._exit(7 if kept else 8)


@app.task
def logs_elsewhere(gate: str) -> str:
    """In another thread, and what cannot be written: nobody's log fails for it."""
    thread = threading.Thread(target=logger.info, args=("in another thread",))
    thread.start()
    thread.join()
    logger.info("%d", "no number")
    logger.info("\ud800 %s", "é" * 5000)
    logger.info(Mute())
    try:
        raise Mute
    except Mute:
        logger.exception("it cannot be shown")
    return gate
