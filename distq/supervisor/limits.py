"""Time limits, and cancelling what runs: has handlers told, and ends the processes of those that are not to go on.

Children note the limits of what they run on the status board. They ring only if one is earlier than the next look here,
so quick tasks with long limits cost one look per limit's length, and tasks without limits none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from distq.supervisor import autopsy
from distq.supervisor.children import Children
from distq.supervisor.endings import End
from distq.supervisor.service import NEVER, Service, Site
from distq.supervisor.watch import Watch
from distq.worker import board, bounds
from distq.worker.board import Slot
from distq.worker.interrupt import SIGNAL
from distq.worker.seen import Ran

AGAIN_NS = 1_000_000
"""A process that just moves on is looked at again after this long."""
MOST_TRIES = 100
TOGETHER, LEAST_NS, MOST_NS = 30, 50_000_000, 1_000_000_000
"""What comes to its hard limit soon behind another task of its process ends with that: what has begun together and
hangs together would else go back, and hang again, with each that ends its process. Soon is a part of the limit."""
WRITE_NS, MOST_WRITE_NS = 5_000_000, 1_000_000_000
"""How often it is looked whether a process has written where it is, and for how long, before it is ended."""
COLLECT_S, PATIENCE_S, CANCEL_AGAIN_S = 0.005, 30.0, 0.01
"""A task that is to be cancelled may be on its way to its worker."""
FIRST_PAUSE_S, MOST_PAUSE_S = 0.02, 1.0
"""Between two signals to a handler that has not been told."""
DEAF_S = 0.1
"""If such a pause is longer, it is looked whether its process hears the signal at all."""


DEAF = "it does not hear SIGURG any more, so its handlers cannot be told of limits and cancels"


class Cancel(NamedTuple):
    """Whoever holds this is to end it, or its process."""

    queue: int
    worker: str
    entry: bytes
    kills: bool


class Limits(Service):
    """The look at the clock."""

    def __init__(self, site: Site, children: Children, watch: Watch, replace: Callable[[int, str], None]) -> None:
        self._site, self._children, self._watch, self._replace = site, children, watch, replace
        self._next = NEVER
        self._tries: dict[End, int] = {}
        self._told: dict[tuple[int, int], int] = {}
        """By slot and seat the begin of the last run that was to be told of its soft limit."""
        self._signals: dict[tuple[int, int], tuple[int, float, float]] = {}
        """Likewise: (begin of the run, when the next signal is due, the pause behind it)."""
        self._asked: dict[tuple[int, int], tuple[int, int, int]] = {}
        """Likewise of the last run whose thread was asked where it is: (its begin, until when, what was written)."""
        self._called: set[int] = set()
        """Slots whose processes are to be sent the signal."""
        self._cancels: dict[Cancel, float] = {}
        """Until when each is looked for."""
        site.board.head[board.LIMIT_AT] = bounds.NEVER

    def deadline(self) -> float:
        """The first limit."""
        return self._next

    def ring(self) -> None:
        """A task has begun whose limit is earlier than all that are known."""
        self._next = 0.0

    def cancel(self, order: Cancel) -> None:
        """Somebody has cancelled a running task. Others may follow at once, and are looked for together."""
        now = time.monotonic()
        self._cancels[order] = now + PATIENCE_S
        self._next = min(self._next, now + COLLECT_S)

    def work(self, now: float) -> None:
        """Does what is due, and finds out when to come again."""
        if now < self._next:
            return
        head, now_ns = self._site.board.head, time.monotonic_ns()
        head[board.LIMIT_AT] = bounds.NEVER  # who begins from here on rings; the others are seen
        if self._cancels:
            self._obey_cancels(now)
        due = bounds.NEVER if not self._cancels else now_ns + int(CANCEL_AGAIN_S * 1e9)
        for slot in self._site.board.slots:
            if slot.words[board.STATE] in (board.IDLE, board.BUSY):
                ends_at = _ends_at(slot, now_ns)
                due = min([due, *(self._look(slot, seat, now_ns, ends_at) for seat in range(slot.words[board.SEATS]))])
        for index in self._called:  # once, however many of its handlers are told: it looks at all of them
            self._children.signal(index, SIGNAL)
        self._called.clear()
        head[board.LIMIT_AT] = due
        self._next = due / 1e9 if due != bounds.NEVER else NEVER

    def _look(self, slot: Slot, seat: int, now_ns: int, ends_at: int) -> int:
        """When to look at this seat again. The process is not ended before `ends_at`."""
        since, key = slot.since[seat], (slot.index, seat)
        if not slot.seats[seat]:
            return bounds.NEVER
        soft_ns, due = slot.bounds.limits(seat, since)
        if due <= now_ns:
            return ends_at if ends_at > now_ns else self._end(slot, seat, since, now_ns)
        if soft_ns > now_ns:
            due = min(due, soft_ns)
        elif self._told.get(key) != since:
            self._told[key] = since
            slot.bounds.order(seat, since)
        return min(due, self._signal(slot, seat, since, now_ns)) if slot.bounds.is_ordered(seat, since) else due

    def _signal(self, slot: Slot, seat: int, since: int, now_ns: int) -> int:
        """Has a signal sent until the order is obeyed."""
        known, due, pause = self._signals.get((slot.index, seat), (since, 0.0, FIRST_PAUSE_S))
        if known != since:
            due, pause = 0.0, FIRST_PAUSE_S
        if now_ns >= due * 1e9:
            self._called.add(slot.index)
            if pause > DEAF_S and not autopsy.hears(slot.words[board.PID], SIGNAL):
                self._replace(slot.index, DEAF)
            due, pause = now_ns / 1e9 + pause, min(2 * pause, MOST_PAUSE_S)
        self._signals[slot.index, seat] = since, due, pause
        return int(due * 1e9)

    def _obey_cancels(self, now: float) -> None:
        """All that are for one worker together: to look at what it runs takes long where that is much."""
        orders: dict[str, list[Cancel]] = {}
        for order in self._cancels:
            orders.setdefault(order.worker, []).append(order)
        obeyed = {order for worker, its in orders.items() for order in self._obeyed(worker, its)}
        self._cancels = {order: until for order, until in self._cancels.items() if order not in obeyed and now < until}

    def _obeyed(self, worker: str, orders: list[Cancel]) -> list[Cancel]:
        """Those about which nothing more is to be done. If the worker is gone, its recovery has ended what it had."""
        slot = next((slot for slot in self._site.board.slots if slot.name == worker), None)
        if slot is None:
            return orders
        if not slot.lock.acquire(block=False):
            return []
        try:
            runs = {(one.queue, one.entry): one for one in slot.ran()}
            obeyed = [order for order in orders if (order.queue, order.entry) in runs]
            for order in obeyed:
                one = runs[order.queue, order.entry]
                if one.in_batch == 1:  # what runs for others as well goes on; it does not run again
                    self._cancel(slot, one, order.kills)
            held = slot.autopsy() if len(obeyed) < len(orders) else []
            waiting = {(part.queue, entry) for part in held for entry in part.waiting}
        finally:
            slot.lock.release()
        if any((order.queue, order.entry) in waiting for order in orders):
            self._watch.take_away(slot)
        return obeyed

    def _cancel(self, slot: Slot, one: Ran, kills: bool) -> None:
        """The lock of the slot is held: it runs just now."""
        if kills:
            self._children.end_for(slot.index, End(one.seat, one.since_ns, True))
        else:
            slot.bounds.cancel(one.seat, one.since_ns)
            self._signals.pop((slot.index, one.seat), None)

    def _end(self, slot: Slot, seat: int, since: int, now_ns: int) -> int:
        """While we have the lock of its slot, its child neither ends this task nor begins another. One that is stopped
        or dead may have it for ever, and does not go on either."""
        end = End(seat, since)
        if self._is_writing(slot, seat, since, now_ns):
            return now_ns + WRITE_NS
        tries = self._tries[end] = self._tries.get(end, 0) + 1
        is_mine = slot.lock.acquire(block=False)
        if not is_mine and tries < MOST_TRIES:
            return now_ns + AGAIN_NS
        try:
            if slot.since[seat] == since and slot.seats[seat]:
                self._children.end_for(slot.index, end)
        finally:
            if is_mine:
                slot.lock.release()
        self._tries.pop(end)
        return bounds.NEVER

    def _is_writing(self, slot: Slot, seat: int, since: int, now_ns: int) -> bool:
        """Whether its process is to say where it is, and has not said it yet."""
        key = slot.index, seat
        known, give_up, before = self._asked.get(key, (0, 0, 0))
        if known != since:
            can = slot.bounds.note(seat)[0] and self._children.ask_where(slot.index)
            self._asked[key] = since, now_ns + MOST_WRITE_NS if can else 0, 0
            return bool(can)
        written = self._children.written(slot.index)
        self._asked[key] = since, give_up, written
        return now_ns < give_up and (not written or written != before)


def _ends_at(slot: Slot, now_ns: int) -> int:
    """When a process is to be ended in which a hard limit is over; 0: none is."""
    begun = [(seat, slot.since[seat]) for seat in range(slot.words[board.SEATS]) if slot.seats[seat]]
    hard = [(slot.bounds.limits(seat, since)[1], since) for seat, since in begun]
    first, since = min(hard, default=(bounds.NEVER, 0))
    soon = first + min(MOST_NS, max(LEAST_NS, (first - since) // TOGETHER))
    return max(limit for limit, _ in hard if limit <= soon) if first <= now_ns else 0
