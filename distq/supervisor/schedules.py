"""Fires the ticks of schedules, and says what the code of this host declares.

The keeper of a queue is told by `tick` which schedules are due. It computes their next ticks, and `fire` sets these and
enqueues in one script, if nobody else has: it does not matter who is keeper, or how many think that they are, and what
one leaves undone the next one does. Times are the broker's.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from distq.broker import keys, schedules
from distq.broker.schedules import Declared, Definition, Fire, Firing, Record
from distq.broker.scripts import digest, encode
from distq.broker.verbs import Due, Tick
from distq.cron import catch_up, shown, timing, upcoming
from distq.errors import ConfigurationError
from distq.supervisor.service import Service, Site

logger = logging.getLogger("distq.supervisor")

PATIENCE_MS = 60_000
"""What is later than this has been missed; four leases if these are longer: another host takes over in that time."""
HOLD, RETIRE = 3, 4
"""In leases: how long a declaration holds, and after which further time a schedule that nobody declares is retired."""
POSTPONED_MS = 60_000
"""After so long one that cannot be computed here is due again: others may know its zone."""
REFUSED_MS = 1000
"""Pause after the broker has refused: it is full, perhaps."""
STEP_MS = 60_000
"""The broker's clock was set if it is off by so much all of a sudden."""


NOTHING = "none"
"""The digest of a host whose code declares no schedule in a queue."""


class Schedules(Service):
    """1. declares, and names what is new; 2. fires what is due; 3. sees that the broker's clock was set."""

    def __init__(self, site: Site, declared: Mapping[str, Any], tick: Callable[[int], None]) -> None:
        self._site, self._tick = site, tick
        self._lease_s = site.config.lease_ms / 1000
        self._next = 0.0
        self._sets: dict[int, _Set] = {}
        self._coded: set[int] = set()
        """Queues in which some code declares schedules."""
        self._looking: set[int] = set()
        """Queues whose schedules are computed anew."""
        self._offsets: dict[int, float] = {}
        self._said: set[str] = set()
        self.is_keeper = [False for _ in site.prefixes]
        self.use(declared)
        for queue, name in enumerate(site.queues):
            if queue not in self._sets and "/" not in name:
                self._declare(queue, {})

    def use(self, declared: Mapping[str, Any]) -> None:
        """What the code of the template in use declares: queue -> name -> definition."""
        queues = {name: queue for queue, name in enumerate(self._site.queues)}
        sets = {queues[name]: _Set(found) for name, found in declared.items() if name in queues}
        for queue in self._sets.keys() | sets.keys():
            self._sets[queue] = sets.get(queue) or _Set({})
            self._declare(queue, self._sets[queue].marks)

    def deadline(self) -> float:
        """Once per lease, if there is something to declare or to retire."""
        return self._next if self._sets or self._coded else float("inf")

    def work(self, now: float) -> None:
        """Declares."""
        if now < self._next:
            return
        self._next = now + self._lease_s * random.uniform(0.8, 1.0)
        for queue in self._sets.keys() | {queue for queue in self._coded if self.is_keeper[queue]}:
            self._declare(queue, {})

    def finish(self) -> None:
        """This host leaves: what only its code declares rests from now on."""
        for queue, found in self._sets.items():
            found.digest = ""
            self._declare(queue, {})

    # -- declaring ---------------------------------------------------------------------------------------------------

    def _declare(self, queue: int, marks: Mapping[str, str]) -> None:
        site, found = self._site, self._sets.get(queue)
        lease_ms = site.config.lease_ms
        command = schedules.declare(
            site.prefixes[queue],
            site.host,
            HOLD * lease_ms,
            RETIRE * lease_ms,
            found.digest if found else NOTHING,
            marks,
        )
        site.link.submit(command, partial(self._declared, queue), lambda: None)

    def _declared(self, queue: int, declared: Declared) -> None:
        (self._coded.add if declared.coded else self._coded.discard)(queue)
        found = self._sets.get(queue)
        if found and declared.must_name:
            self._declare(queue, found.marks)
            return
        for name in declared.retired:
            logger.info("schedule %s is retired: no code declares it any more", name)
        for name in declared.wanted:
            definition = found.definitions.get(name) if found else None
            if definition is not None:
                self._define(queue, name, definition, declared.now_ms)

    def _define(self, queue: int, name: str, definition: Definition, now_ms: int) -> None:
        items = [*schedules.code_items(definition), "turn", schedules.new_turn()]
        coming = upcoming(definition.when, definition.tz, now_ms)
        command = schedules.define(self._site.prefixes[queue], name, "code", coming[0], items)
        self._site.link.submit(command, partial(self._defined, name, definition, coming), lambda: None)

    def _defined(self, name: str, definition: Definition, coming: Sequence[int], reply: tuple[str, str]) -> None:
        if reply[0] == "ok":
            when = f"{definition.when} {definition.tz}".strip()
            logger.info("schedule %s (%s) is that of the code now: next %s", name, when, shown(coming, definition.tz))
        elif reply[0] == "exists":
            logger.error("schedule %s is not that of the code: one of this name was created at run time", name)
        elif reply[0] == "full":
            logger.error("schedule %s does not tick: its queue has too many schedules", name)

    # -- firing ------------------------------------------------------------------------------------------------------

    def fire(self, queue: int, tick: Tick, ticked: Callable[[int], None]) -> None:
        """Fires what is due; `ticked` gets in how many ms something is to be done in the queue again."""
        self._coded.add(queue)  # maybe: `declare` tells
        fires = [fire for due in tick.due if (fire := self._fire(queue, due, tick.now_ms)) is not None]
        site = self._site
        command = schedules.fire(site.prefixes[queue], site.host, fires)

        def fired(firing: Firing) -> None:
            if firing.next_ms is not None:
                ticked(max(0, firing.next_ms - firing.now_ms))

        site.link.submit(command, fired, lambda: ticked(REFUSED_MS))

    def _fire(self, queue: int, due: Due, now_ms: int) -> Fire | None:
        name = self._site.queues[queue]
        patience_ms = max(PATIENCE_MS, 4 * self._site.config.lease_ms)
        try:
            ticks, next_ms = catch_up(timing(due.when, due.tz), due.tick_ms, now_ms, due.missed, patience_ms)
        except (ConfigurationError, ValueError, OverflowError) as error:
            self._postpone(queue, due, now_ms, error)
            return None
        tasks = []
        for at in ticks:
            id = schedules.tick_id(name, due.name, due.turn, at)
            tasks.append((id, at, at + _share(id, due.jitter_ms) if due.jitter_ms else 0))
        return Fire(due.name, due.tick_ms, due.edition, next_ms, tasks)

    def _postpone(self, queue: int, due: Due, now_ms: int, error: Exception) -> None:
        """One bad schedule keeps no other from ticking, nor from being looked at."""
        if due.name not in self._said:
            self._said.add(due.name)
            logger.error("schedule %s cannot tick here: %s", due.name, error)
        place = keys.key(self._site.prefixes[queue], "FIRES")
        self._site.link.submit(
            encode("ZADD", place, "XX", now_ms + POSTPONED_MS, due.name), lambda reply: None, lambda: None
        )

    # -- the broker's clock ------------------------------------------------------------------------------------------

    def hear(self, queue: int, now_ms: int) -> None:
        """What the broker's clock shows. If that was set, what is due is due now; and if it was set back, the next
        ticks are those by the new time, as if those that have been had not."""
        offset = now_ms - time.monotonic() * 1000
        step = offset - self._offsets.get(queue, offset)
        self._offsets[queue] = offset
        if abs(step) < STEP_MS:
            return
        if step < 0 and queue not in self._looking:
            self._looking.add(queue)
            self._look(queue, "0")
        self._tick(queue)

    def _look(self, queue: int, cursor: str) -> None:
        def looked(page: tuple[str, int, list[Record]]) -> None:
            following, now_ms, records = page
            for record in records:
                self._set_back(queue, record, now_ms)
            if following == "0":
                self._looking.discard(queue)
                self._tick(queue)
            else:
                self._look(queue, following)

        command = schedules.page(self._site.prefixes[queue], cursor)
        self._site.link.submit(command, looked, lambda: self._looking.discard(queue))

    def _set_back(self, queue: int, record: Record, now_ms: int) -> None:
        try:
            next_ms = timing(record.definition.when, record.definition.tz).next(now_ms)
        except (ConfigurationError, ValueError, OverflowError):
            return
        if next_ms < record.next_ms:
            items = ["turn", schedules.new_turn()]
            command = schedules.define(self._site.prefixes[queue], record.name, record.edition, next_ms, items)
            self._site.link.submit(command, lambda reply: None, lambda: None)


class _Set:
    """What the code declares in a queue."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.definitions = {name: Definition.unpacked(bytes.fromhex(packed)) for name, packed in found.items()}
        self.marks = {name: definition.mark for name, definition in self.definitions.items()}
        self.digest = digest(str(sorted(self.marks.items())))[:12] if self.marks else NOTHING


def _share(id: str, most: int) -> int:
    """A number from 0 to `most`, by chance, but always the same for this id."""
    return int(digest(id)[:12], 16) % (most + 1)
