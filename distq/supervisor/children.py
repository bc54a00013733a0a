"""Keeps the children alive: forks them through the template, notices their death, gives back what they held."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from distq.broker import verbs
from distq.logs import write_lines
from distq.supervisor import autopsy
from distq.supervisor.endings import End, is_charged_apart, settled
from distq.supervisor.processes import next_pause
from distq.supervisor.service import NEVER, Reason, Service, Site
from distq.supervisor.templates import Template
from distq.worker import board
from distq.worker.board import Slot
from distq.worker.stacks import DUMP

CANCEL_S = 2.0
"""So long before the end of the grace period coroutines are cancelled, or a fifth of it if that is less."""

logger = logging.getLogger("distq.supervisor")


class Children(Service):
    """The processes of all slots."""

    def __init__(self, site: Site, pokes: list[tuple[int, int]], dumps: list[int]) -> None:
        self._site, self._pokes, self._dumps = site, pokes, dumps
        self._memory = autopsy.Memory()
        self._template: Template | None = None
        slots = len(site.board.slots)
        self.current = list(range(site.config.children))
        """By position the place of the child that is there now. A successor brings its own."""
        self._slot_of: dict[int, int] = {}
        self._template_of: dict[int, Template] = {}
        """Who forks, or has forked, the child of a slot."""
        self._lent = [0] * slots
        """How many seats each has lent, as far as they were taken notice of."""
        self._start_at = [NEVER for _ in range(slots)]
        self._pause = [0.0] * slots
        self._born = [0.0] * slots
        self._fetches = [0] * slots
        """What each slot had fetched before its child was born."""
        self._asked: set[int] = set()
        self._ends: dict[int, list[End]] = {}
        """By slot: the runs for which its process was ended."""
        self.is_ending = False
        self.is_quiet = False
        """Whether nobody is started until it is told otherwise."""
        self._cancel_at = NEVER
        self._end_at = [NEVER for _ in range(slots)]
        """When a child is ended that has left, and has not come to its end."""
        self._is_outdated: set[int] = set()
        """Slots of children that are ended before they have begun."""
        self.only: int | None = None
        """While it is set, nobody is started in any other slot."""
        self.man()

    @property
    def alive(self) -> int:
        """How many children there are, or will be in a moment."""
        return len(self._slot_of) + len(self._asked)

    @property
    def all_ready(self) -> bool:
        """Every slot that always has a child has one that is registered."""
        return all(map(self.is_ready, self.manned))

    @property
    def manned(self) -> list[int]:
        """The places that always have a process."""
        site = self._site
        return [slot for slot in self.current if site.crews[site.crew_of(slot)].is_needed]

    def man(self) -> None:
        """Those that have none get one."""
        for slot in self.manned:
            if self.is_free(slot):
                self._start_at[slot] = 0.0

    def is_ready(self, slot: int) -> bool:
        """Whether its child is registered."""
        return self._site.board.slots[slot].words[board.STATE] in (board.IDLE, board.BUSY)

    def has_left(self, slot: int) -> bool:
        """Whether its child holds nothing any more, and only closes what it has opened."""
        return bool(self._site.board.slots[slot].words[board.STATE] == board.LEFT)

    def has_child(self, slot: int) -> bool:
        """Whether it has one, or gets one in a moment."""
        return slot in self._slot_of.values() or slot in self._asked

    @property
    def may_start(self) -> bool:
        """Whether there is nothing against one child more."""
        return not (self.is_ending or self.is_quiet) and self.only is None and self._template is not None

    def has_worked(self, slot: int) -> bool:
        """Whether the child there has been given something to run."""
        return bool(self._site.board.slots[slot].words[board.FETCHES] > self._fetches[slot])

    def born(self, slot: int) -> float:
        """When its child was (monotonic seconds)."""
        return self._born[slot]

    def succeed(self, position: int, slot: int) -> None:
        """The child of this place is in that position from now on."""
        self._start_at[self.current[position]], self._start_at[slot] = NEVER, 0.0
        self.current[position] = slot

    def start_in(self, slot: int) -> None:
        """One child, in a slot that is free."""
        self._start_at[slot] = time.monotonic()

    def is_free(self, slot: int) -> bool:
        """Whether the slot has no child, and is to get none."""
        return self._start_at[slot] == NEVER and not self.has_child(slot)

    def deadline(self) -> float:
        """When the next child is to be started, or ended."""
        if self.is_ending:
            return self._cancel_at
        if self.is_quiet or self._template is None:
            return min(self._end_at)
        return min((*(self._start_at[slot] for slot in self._free()), *self._end_at))

    def _free(self) -> list[int]:
        """Where somebody may be started when it is time."""
        taken = {*self._slot_of.values(), *self._asked}
        wanted = range(len(self._start_at)) if self.only is None else (self.only,)
        return [slot for slot in wanted if slot not in taken]

    def end(self, now: float) -> None:
        """They finish what they run, within the grace period. Coroutines that are not done then are cancelled a moment
        before its end, so that they can close what they have opened."""
        self.is_ending, grace_s = True, self._site.config.grace_ms / 1000
        self.order(board.DRAIN)
        if self._site.config.coroutines:
            self._cancel_at = now + grace_s - min(CANCEL_S, grace_s / 5)

    def quiet(self, is_quiet: bool) -> None:
        """They finish what they run and end, and no others are started; or others are."""
        if self.is_quiet != is_quiet and not self.is_ending:
            self.is_quiet = is_quiet
            self.order(board.DRAIN if is_quiet else board.RUN)

    def pids(self) -> dict[int, int]:
        """The slot of each."""
        return dict(self._slot_of)

    def work(self, now: float) -> None:
        """Starts a child in each free slot whose pause is over."""
        if now >= self._cancel_at:
            self._cancel_at = NEVER
            self.order(board.CANCEL)
        self._end_those_that_hang(now)
        if self.is_ending or self.is_quiet or self._template is None:
            return
        for slot in self._free():
            if self._start_at[slot] <= now:
                self._site.board.slots[slot].clear()
                self._drain_pipe(slot)
                autopsy.empty(self._dumps[slot])
                self._asked.add(slot)
                self._is_outdated.discard(slot)
                self._fetches[slot] = self._site.board.slots[slot].words[board.FETCHES]
                if slot not in self.manned:
                    self._start_at[slot] = NEVER
                self._template_of[slot] = self._template
                self._template.fork(slot, self._site.queues)

    def _end_those_that_hang(self, now: float) -> None:
        """When the whole host ends, its grace period is theirs."""
        for slot in () if self.is_ending else self._slot_of.values():
            place = self._site.board.slots[slot]
            if place.words[board.STATE] != board.LEFT:
                continue
            if self._end_at[slot] == NEVER:
                self._end_at[slot] = now + self._site.config.grace_ms / 1000
            elif now >= self._end_at[slot]:
                self._end_at[slot] = NEVER
                logger.warning(
                    "worker %s is killed: its end takes longer than --grace (on_worker_stop, closing)", place.name
                )
                self.signal(slot, signal.SIGKILL)

    def outdate(self, slot: int) -> bool:
        """If the child there has not begun, it is ended: it may hang in a start function that has been mended since."""
        place = self._site.board.slots[slot]
        if place.words[board.STATE] != board.STARTING or self.is_fresh(slot):
            return False
        place.leave()  # if it begins just now, it runs nothing
        if place.words[board.STATE] != board.STARTING:
            return False
        if slot not in self._is_outdated:
            logger.info("a process of the code before has not started yet: one of the fresh code takes its place")
        self._is_outdated.add(slot)
        self.signal(slot, signal.SIGKILL)
        return True

    def not_forked(self, slot: int, why: str) -> None:
        """The template could not: it is tried again, after a pause."""
        self._asked.discard(slot)
        self._pause[slot] = next_pause(self._pause[slot], 0.0)
        again = ""
        if slot in self.manned:
            self._start_at[slot] = time.monotonic() + self._pause[slot]
            again = f"; again in {self._pause[slot]:g} s"
        logger.error("a worker process could not be started: %s%s", why, again)

    def forked(self, slot: int, pid: int) -> None:
        """The template has forked."""
        self._asked.discard(slot)
        self._slot_of[pid] = slot
        self._born[slot] = time.monotonic()
        self._site.board.slots[slot].words[board.PID] = pid
        if slot in self._is_outdated:  # since it was asked for
            self.signal(slot, signal.SIGKILL)
        if self.is_ending:
            self.poke_all()

    def exited(self, pid: int, status: int, rss_kb: int) -> None:
        """A child has died: its tasks go back at once, and its slot gets a new one."""
        slot = self._slot_of.pop(pid, None)
        if slot is None:
            return
        place = self._site.board.slots[slot]
        write_lines(place)
        self._end_at[slot] = NEVER
        has_left = place.words[board.STATE] == board.LEFT
        is_outdated = slot in self._is_outdated and not place.name
        self._is_outdated.discard(slot)
        if not (has_left or is_outdated):
            was_stopped = self.is_ending or is_charged_apart(place, self._ends.get(slot, []))
            self._recover(place, "left" if was_stopped else "died", status, rss_kb)
            self._count(self._ends.get(slot, []))
        self._ends.pop(slot, None)
        place.words[board.STATE] = board.EMPTY
        now = time.monotonic()
        # The pause is for a process that cannot start. One that died at a task is replaced at once: how often a task
        # may kill its process has a bound of its own. One that has left was told to, and has begun well.
        if slot not in self.manned:
            self._start_at[slot] = NEVER
            return
        begins_well = has_left or self.has_worked(slot)
        self._pause[slot] = 0.0 if begins_well else next_pause(self._pause[slot], now - self._born[slot])
        self._start_at[slot] = now + self._pause[slot]

    def _count(self, ends: list[End]) -> None:
        why: Reason = "crash"
        if ends:
            why = "cancelled" if all(end.is_cancelled for end in ends) else "time_limit"
        if not self.is_ending:
            self._site.replaced[why] += 1

    def all_exited(self, template: Template) -> None:
        """This template has died, and all children of it."""
        for pid, slot in list(self._slot_of.items()):
            if self._template_of[slot] is template:
                self.exited(pid, signal.SIGKILL, 0)
        self._asked = {slot for slot in self._asked if self._template_of[slot] is not template}

    def has_any_of(self, template: Template) -> bool:
        """Whether a child of this template lives, or is asked for."""
        return any(self._template_of[slot] is template for slot in (*self._slot_of.values(), *self._asked))

    def use(self, template: Template | None) -> None:
        """Who forks from now on. None: nobody is started."""
        self._template = template

    def take_lent(self, slot: int) -> int:
        """How many seats its child has lent since this was last asked."""
        number = self._site.board.slots[slot].words[board.LENT] - self._lent[slot]
        self._lent[slot] += number
        return number

    def kept(self, slot: int) -> int:
        """How many seats its child has, as far as is known here."""
        words = self._site.board.slots[slot].words
        return self.seats(slot) - (self._lent[slot] - words[board.RETURNED])

    def seats(self, slot: int) -> int:
        """How many its child has when nobody else has any of them."""
        config = self._site.config
        return config.coroutines if config.is_loop(slot) else config.threads

    def give_seats(self, position: int, number: int) -> None:
        """To the child that is in this position now."""
        if number:
            slot = self.current[position]
            self._site.board.slots[slot].words[board.RETURNED] += number
            self.poke(slot)

    def start_without_seats(self, slot: int) -> None:
        """A child in a place that is free. It gets its seats later."""
        words = self._site.board.slots[slot].words
        self._lent[slot] = words[board.LENT] = self.seats(slot)
        words[board.RETURNED] = 0
        self.start_in(slot)

    def order(self, order: int) -> None:
        """What all are to do."""
        self._site.board.order(order)
        self.poke_all()

    def poke(self, slot: int, why: bytes = b"p") -> None:
        """Makes a child look at the board ("p"), or connect again ("m": the primary has moved)."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._pokes[slot][1], why)

    def poke_all(self, why: bytes = b"p") -> None:
        """The same for every child."""
        for slot in range(len(self._pokes)):
            self.poke(slot, why)

    def is_fresh(self, slot: int) -> bool:
        """Whether its child is of the template that is in use now."""
        return self._template_of.get(slot) is self._template

    def kill_all(self) -> None:
        """Ends every child now."""
        for slot in list(self._slot_of.values()):
            self.signal(slot, signal.SIGKILL)

    def signal(self, slot: int, number: signal.Signals) -> None:
        """Sends a signal to the process in this slot."""
        for pid, its in self._slot_of.items():
            if its == slot:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def end_for(self, slot: int, end: End) -> None:
        """Ends the process in this slot now, because of this run. It costs that an attempt, and what runs beside it
        nothing."""
        self._ends.setdefault(slot, []).append(end)
        self.signal(slot, signal.SIGKILL)

    def ask_where(self, slot: int) -> bool:
        """Has the process in this slot write where its threads are; whether it can."""
        pid = self._site.board.slots[slot].words[board.PID]
        if DUMP is None or not autopsy.can_write(pid, DUMP, self._dumps[slot]):
            return False
        autopsy.empty(self._dumps[slot])
        self.signal(slot, DUMP)
        return True

    def written(self, slot: int) -> int:
        """How much it has written of that."""
        return os.fstat(self._dumps[slot]).st_size

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
        settled(place, self._ends.get(place.index, []), held, site, self._dumps[place.index])
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
