"""USR1: every child says what it is at. For one that does not answer, its supervisor says what is known of it."""

from __future__ import annotations

import logging
import os
import signal
import time

from distq.broker.orders import keep_stacks
from distq.supervisor import autopsy
from distq.supervisor.children import Children
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.stacks import OWN_WORDS, say_with_stack

logger = logging.getLogger("distq.supervisor")

PATIENCE_S = 1.0
MOST_SHOWN = 128 << 10


class Stacks(Service):
    """1. says what each child runs, and sends it the signal; 2. a second later, shows the others' dumps, and leaves
    what all have said in the broker, for whoever has asked from there."""

    def __init__(self, site: Site, children: Children, dumps: list[int]) -> None:
        self._site, self._children, self._dumps = site, children, dumps
        self._asked: dict[int, tuple[int, int]] = {}
        """By slot: its process, and how often that had answered before."""
        self._look_at = NEVER

    def ask(self) -> None:
        """All children."""
        now_ns = time.monotonic_ns()
        for pid, index in self._children.pids().items():
            slot = self._site.board.slots[index]
            runs = [
                f"{one.entry.decode('utf-8', 'replace')} for {(now_ns - one.since_ns) / 1e9:.3g} s"
                for one in slot.ran()
            ]
            if self._children.is_ready(index):
                logger.warning("worker %s (process %d) runs %s", slot.name, pid, ", ".join(runs) or "nothing")
            elif slot.words[board.STATE] == board.STARTING:
                logger.warning("process %d has not started yet: its on_worker_start is running", pid)
            else:
                logger.warning("process %d runs nothing any more: it closes what it has opened", pid)
            self._asked[index] = pid, slot.words[board.SHOWN]
            self._children.signal(index, signal.SIGUSR1)
        self._look_at = time.monotonic() + PATIENCE_S

    def deadline(self) -> float:
        """When they should have answered."""
        return self._look_at

    def work(self, now: float) -> None:
        """Shows what those have left that have not answered."""
        if now < self._look_at:
            return
        self._look_at = NEVER
        parts = []
        for index, (pid, before) in self._asked.items():
            if self._children.pids().get(pid) != index:
                continue
            dump, slot = self._dumps[index], self._site.board.slots[index]
            bare, _, own = os.pread(dump, 64 << 10, 0).partition(OWN_WORDS)
            text = (own or bare).decode("utf-8", "replace").rstrip()
            said = f"worker {slot.name} (process {pid})"
            if slot.words[board.SHOWN] == before:
                said = f"process {pid} has not answered: it is in code that keeps the interpreter"
                say_with_stack(logger, said, text)
            parts.append(f"{said}\n{text}")
            autopsy.empty(dump)  # else a later crash would be told with this
        self._asked.clear()
        command = keep_stacks(self._site.prefixes[0], self._site.host, "\n\n".join(parts)[:MOST_SHOWN])
        self._site.link.submit(command, lambda _: None, lambda: None)
