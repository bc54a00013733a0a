"""Keeps the children alive: forks them through the template, notices their death, gives back what they held."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from distq.broker import verbs
from distq.supervisor import autopsy
from distq.supervisor.processes import next_pause
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot

CANCEL_S = 2.0
"""So long before the end of the grace period coroutines are cancelled, or a fifth of it if that is less."""

logger = logging.getLogger("distq.supervisor")


class Children(Service):
    """The processes of all slots."""

    def __init__(self, site: Site, channel: socket.socket, pokes: list[tuple[int, int]], dumps: list[int]) -> None:
        self._site, self._pokes, self._dumps = site, pokes, dumps
        self._memory = autopsy.Memory()
        self._channel: socket.socket | None = channel
        slots = len(site.board.slots)
        self._slot_of: dict[int, int] = {}
        self._start_at = [0.0 if slot in site.manned else NEVER for slot in range(slots)]
        self._pause = [0.0] * slots
        self._born = [0.0] * slots
        self._fetches = [0] * slots
        """What each slot had fetched before its child was born."""
        self._asked: set[int] = set()
        self.is_ending = False
        self._cancel_at = NEVER
        self.only: int | None = None
        """While it is set, nobody is started in any other slot."""

    @property
    def alive(self) -> int:
        """How many children there are, or will be in a moment."""
        return len(self._slot_of) + len(self._asked)

    @property
    def all_ready(self) -> bool:
        """Every slot that always has a child has one that is registered."""
        slots = self._site.board.slots
        return all(slots[place].words[board.STATE] in (board.IDLE, board.BUSY) for place in self._site.manned)

    def start_in(self, slot: int) -> None:
        """One child, in a slot that is free."""
        self._start_at[slot] = time.monotonic()

    def is_free(self, slot: int) -> bool:
        """Whether the slot has no child, and is to get none."""
        return self._start_at[slot] == NEVER and slot not in self._slot_of.values() and slot not in self._asked

    def deadline(self) -> float:
        """When the next child is to be started."""
        if self.is_ending or self._channel is None:
            return self._cancel_at
        return min((self._start_at[slot] for slot in self._free()), default=NEVER)

    def _free(self) -> list[int]:
        """Where somebody may be started when it is time."""
        taken = {*self._slot_of.values(), *self._asked}
        wanted = range(len(self._start_at)) if self.only is None else (self.only,)
        return [slot for slot in wanted if slot not in taken]

    def end(self, now: float) -> None:
        """They finish what they run, within the grace period. Coroutines that are not done then are cancelled a moment
        before its end, so that they can close what they have opened."""
        self.is_ending, grace_s = True, self._site.config.grace_ms / 1000
        self._site.board.head[board.ORDER] = board.DRAIN
        if self._site.config.coroutines:
            self._cancel_at = now + grace_s - min(CANCEL_S, grace_s / 5)
        self.poke_all()

    def work(self, now: float) -> None:
        """Starts a child in each free slot whose pause is over."""
        if now >= self._cancel_at:
            self._cancel_at = NEVER
            if self._site.board.head[board.ORDER] == board.DRAIN:
                self._site.board.head[board.ORDER] = board.CANCEL
                self.poke_all()
        if self.is_ending or self._channel is None:
            return
        for slot in self._free():
            if self._start_at[slot] <= now:
                self._site.board.slots[slot].clear()
                self._drain_pipe(slot)
                os.lseek(self._dumps[slot], 0, os.SEEK_SET)
                os.ftruncate(self._dumps[slot], 0)
                self._asked.add(slot)
                self._fetches[slot] = self._site.board.slots[slot].words[board.FETCHES]
                if slot not in self._site.manned:
                    self._start_at[slot] = NEVER
                with contextlib.suppress(ConnectionError):  # the template has just died: all_exited follows
                    self._channel.sendall(json.dumps({"fork": slot, "queues": self._site.queues}).encode() + b"\n")

    def forked(self, slot: int, pid: int) -> None:
        """The template has forked."""
        self._asked.discard(slot)
        self._slot_of[pid] = slot
        self._born[slot] = time.monotonic()
        self._site.board.slots[slot].words[board.PID] = pid
        if self.is_ending:
            self.poke_all()

    def exited(self, pid: int, status: int, rss_kb: int) -> None:
        """A child has died: its tasks go back at once, and its slot gets a new one."""
        slot = self._slot_of.pop(pid, None)
        if slot is None:
            return
        place = self._site.board.slots[slot]
        has_worked = place.words[board.FETCHES] > self._fetches[slot]
        if place.words[board.STATE] != board.LEFT:
            self._recover(place, "left" if self.is_ending else "died", status, rss_kb)
        place.words[board.STATE] = board.EMPTY
        now = time.monotonic()
        # The pause is for a process that cannot start. One that died at a task is replaced at once: how often a task
        # may kill its process has a bound of its own.
        if slot not in self._site.manned:
            return
        self._pause[slot] = 0.0 if has_worked else next_pause(self._pause[slot], now - self._born[slot])
        self._start_at[slot] = now + self._pause[slot]

    def all_exited(self) -> None:
        """The template has died, and all children with it. Until there is a new one nobody is started."""
        for pid in list(self._slot_of):
            self.exited(pid, signal.SIGKILL, 0)
        self._asked.clear()
        self._channel = None

    def use(self, channel: socket.socket) -> None:
        """There is a new template."""
        self._channel = channel

    def poke_all(self, why: bytes = b"p") -> None:
        """Makes every child look at the board ("p"), or connect again ("m": the primary has moved)."""
        for _, writer in self._pokes:
            try:
                os.write(writer, why)
            except BlockingIOError:
                continue

    def kill_all(self) -> None:
        """Ends every child now."""
        for pid in self._slot_of:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _drain_pipe(self, slot: int) -> None:
        try:
            os.read(self._pokes[slot][0], 4096)
        except BlockingIOError:
            return

    def _recover(self, place: Slot, how: verbs.How, status: int, rss_kb: int) -> None:
        """What it had finished is settled, what it had not started goes back; what ran is suspect, or charged."""
        site, name = self._site, place.name
        if not name:
            logger.error("a worker process %s before it had registered", autopsy.how_it_ended(status))
            return
        dump = autopsy.dump_of(self._dumps[place.index])
        text, records = autopsy.records(place, status, rss_kb, self._memory, dump, how == "left")
        held = {part.queue: part for part in place.autopsy()}
        started = [entry for part in held.values() for entry in part.started]
        if how == "died":
            logger.error("worker %s %s", name, text)
        for queue, prefix in enumerate(site.prefixes):
            command = verbs.recover(
                prefix, name, how,
                max_deliveries=site.config.max_deliveries, records=records, ran=len(started), held=held.get(queue),
            )  # fmt: skip
            site.link.submit(command, _report(started))


def _report(started: list[bytes]) -> Callable[[Any], None]:
    def report(recovery: verbs.Recovery) -> None:
        if recovery.buried:
            logger.error("task %s is dead: it has killed its worker too often", started[0].decode("utf-8", "replace"))

    return report
