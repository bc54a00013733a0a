"""What applications do when they are imported, and in their start functions: each of it once by mistake."""

from __future__ import annotations

import logging.config
import os
import signal
import sys
import time

from distq import Distq

app = Distq("app")

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for number in (signal.SIGCHLD, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
parent, fork = os.getpid(), os.fork


def fork_if_there_is_room() -> int:
    if os.path.exists(os.environ["LIFE"] + ".full"):
        raise BlockingIOError(11, "the machine is full")
    return fork()


os.fork = fork_if_there_is_room
if os.fork() == 0:
    while os.getppid() == parent:  # as a Manager of multiprocessing, which has all files of its parent
        time.sleep(0.05)
    time.sleep(1)
    os._exit(0)
sys.stdout = None
logging.config.dictConfig({"version": 1})  # it silences all loggers that are there


@app.on_worker_start
def forks() -> None:
    if os.fork() == 0:
        return  # it does not work beside its parent
    os.wait()
    if os.fork() == 0:
        sys.exit(5)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 5, "as if it was a program of its own"


@app.task
def who() -> int:
    return os.getpid()


@app.task
def configures() -> None:
    logging.config.dictConfig({"version": 1})


@app.task(soft_time_limit=0.05, time_limit=20, retries=0)
def ends() -> None:
    """It is told, since no signal is blocked any more."""
    while True:
        time.sleep(0.01)


@app.task(max_deliveries=1)
def dies() -> None:
    os._exit(3)
