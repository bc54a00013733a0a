"""Replaces children without losing their place for a moment: the successor is ready before its predecessor leaves.

A successor begins in a place of its own, without a seat: all are lent to its predecessor. When it has registered, that
is told to leave. It starts nothing more, and each seat on which nothing runs any more passes on to the successor, as
seats pass to suspects and back (docs/decisions/0026): never more tasks run than -p × -t. docs/decisions/0038.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from distq.supervisor.children import Children
from distq.supervisor.footprint import own_memory
from distq.supervisor.processes import next_pause
from distq.supervisor.service import NEVER, Service, Site
from distq.worker import board
from distq.worker.board import Slot

logger = logging.getLogger("distq.supervisor")

FRESH = "the application was loaded afresh"
LOOK_S = 0.5
"""So often the memory and the age of children are looked at, if they have a limit."""
SPREAD = 0.1
"""A lifetime is shorter by up to this part, so that not all end together."""


@dataclass
class _Leaving:
    position: int
    seats: int
    """That it has still to pass on."""


class Succession(Service):
    """1. notices who is to be replaced: it has done its share of tasks, is too large or too old; or all are;
    2. has a successor forked, one at a time;
    3. when that is ready, tells the predecessor to leave, and passes its seats on.
    """

    def __init__(self, site: Site, children: Children) -> None:
        self._site, self._children = site, children
        self._due: dict[int, str] = {}
        """By position: why its child is to be replaced."""
        self._coming: tuple[int, int] | None = None
        """(position, place) of a successor that is not ready."""
        self._leaving: dict[int, _Leaving] = {}
        """By place."""
        self._begin_at, self._pause = 0.0, 0.0
        self._look_at = 0.0 if site.config.max_memory or site.config.max_lifetime_ms else NEVER
        self._warned: dict[int, float] = {}
        """By place the birth of a child that was found to be far too large."""
        self._has_said_too_small = False

    def replace_all(self) -> None:
        """There is fresh code: each child, one after the other."""
        for position in range(len(self._children.current)):
            self._due.setdefault(position, FRESH)

    def replace(self, slot: int, why: str) -> None:
        """The child of this place, when what it runs has ended."""
        if slot in self._children.current:
            self._due.setdefault(self._children.current.index(slot), why)

    @property
    def is_due(self) -> bool:
        """Whether somebody is to be replaced."""
        return bool(self._due)

    def deadline(self) -> float:
        """When somebody is looked at, or may begin."""
        return min(self._look_at, self._begin_at if self._next() is not None else NEVER)

    def work(self, now: float) -> None:
        """Goes on as far as it can."""
        self._pass_on()
        if self._children.is_ending:
            self._look_at, self._due = NEVER, {}
            return
        self._look(now)
        if self._coming is not None:
            self._await(*self._coming, now)
        if not (self._due or self._leaving):
            self._site.former.clear()
        position = self._next()
        if position is not None and now >= self._begin_at:
            self._begin(position)

    # -- who ---------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        config, slots = self._site.config, self._site.board.slots
        looks = now >= self._look_at
        if not (looks or config.max_tasks):
            return
        for position, slot in enumerate(self._children.current):
            why = ""
            if slots[slot].words[board.SPENT]:
                why = f"it was to run {config.max_tasks} tasks"
            elif looks and self._children.is_ready(slot):
                why = self._age(slot, now) or self._size(slot)
            if why:
                self._due.setdefault(position, why)
        if looks:
            self._look_at = now + LOOK_S
            for slot in self._leaving:
                self._size(slot)

    def _age(self, slot: int, now: float) -> str:
        """Why it is too old; "" if it is not."""
        lifetime_s, born = self._site.config.max_lifetime_ms / 1000, self._children.born(slot)
        share = random.Random(born).uniform(1 - SPREAD, 1)  # the same for each look at this child
        return f"it is {now - born:.0f} s old" if lifetime_s and now - born >= lifetime_s * share else ""

    def _size(self, slot: int) -> str:
        """Why it is too large; "" if it is not."""
        limit, place = self._site.config.max_memory, self._site.board.slots[slot]
        size = own_memory(place.words[board.PID], limit) if limit and place.words[board.PID] else 0
        born = self._children.born(slot)
        running = place.running() if size >= 2 * limit > 0 else []
        if running and self._warned.get(slot) != born:
            self._warned[slot] = born
            logger.warning(
                "worker %s has %s MiB, twice what it may have; it is replaced when what it runs has ended: %s",
                place.name, f"{size >> 20:,}", ", ".join(entry.decode("utf-8", "replace") for entry in running[:5]),
            )  # fmt: skip
        if size < limit or not limit:
            return ""
        if not self._children.has_worked(slot):
            self._say_too_small(size)
            return ""
        return f"it has {size >> 20:,} MiB of its own"

    def _say_too_small(self, size: int) -> None:
        """Once. A successor would have as much, and would be replaced at once again."""
        if not self._has_said_too_small:
            self._has_said_too_small = True
            logger.warning(
                "a process has %s MiB of its own before its first task, more than --max-memory-per-child: "
                "each is replaced as soon as it has run something", f"{size >> 20:,}",
            )  # fmt: skip

    # -- how ---------------------------------------------------------------------------------------------------------

    def _next(self) -> int | None:
        """The next position in which somebody may be replaced now."""
        if self._coming is not None or not self._due or not self._children.may_start:
            return None
        return next((position for position in self._due if self._can_begin(position)), None)

    def _can_begin(self, position: int) -> bool:
        """Its other place is free. Or the child has no seat at all, or needs none: nobody misses it for a moment."""
        slot = self._children.current[position]
        has_seats = self._children.kept(slot) > 0 and self._children.has_child(slot)
        return self._children.is_free(self._other(slot)) or not has_seats or slot not in self._children.manned

    def _other(self, slot: int) -> int:
        """The place with which this one takes turns."""
        first = self._site.config.successors
        return slot - first if slot >= first else slot + first

    def _begin(self, position: int) -> None:
        slot = self._children.current[position]
        place, other = self._site.board.slots[slot], self._other(slot)
        is_gone = slot in self._leaving or not self._children.has_child(slot)
        if is_gone or self._children.outdate(slot):  # the next one there is a new one anyhow
            del self._due[position]
        elif slot not in self._children.manned or self._children.kept(slot) == 0:
            self._say_why("worker %s ends: %s", place, self._due.pop(position))
            self._leaving[slot] = _Leaving(position, 0)
            place.leave()
            self._children.poke(slot)
        else:
            self._coming = position, other
            self._children.start_without_seats(other)

    def _await(self, position: int, slot: int, now: float) -> None:
        predecessor = self._children.current[position]
        if self._children.is_ready(slot) or not self._children.has_child(predecessor):
            place, why = self._site.board.slots[predecessor], self._due.pop(position, "")
            self._leaving[predecessor] = _Leaving(position, self._children.kept(predecessor))
            self._children.succeed(position, slot)
            self._coming, self._pause = None, 0.0
            self._say_why("worker %s is replaced: %s", place, why)
            place.leave()
            self._children.poke(predecessor)
            if not self._children.is_fresh(slot):
                self._due[position] = FRESH
            self._pass_on()
        elif self._children.outdate(slot):
            return
        elif self._children.is_free(slot):  # it died before it could begin: its predecessor goes on
            self._coming = None
            self._pause = next_pause(self._pause, 0.0)
            self._begin_at = now + self._pause

    def _say_why(self, text: str, place: Slot, why: str) -> None:
        logger.info(text, place.name, why)
        self._site.replaced["reload" if why == FRESH else "recycled"] += 1

    def _pass_on(self) -> None:
        for slot, leaving in list(self._leaving.items()):
            number, is_gone = self._children.take_lent(slot), not self._children.has_child(slot)
            if slot != self._children.current[leaving.position]:
                number = leaving.seats if is_gone or self._children.has_left(slot) else number
                leaving.seats -= number
            self._children.give_seats(leaving.position, number)
            if is_gone:
                del self._leaving[slot]
