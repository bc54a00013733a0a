"""What a child holds: entries that wait, entries that its threads run, verdicts on what has ended. It keeps the status
board true to that, so that its supervisor can take over at any moment: give back what waits, settle what is finished.

All of it changes under the lock of the slot. Several threads of one child need a lock of their own around each call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from time import monotonic_ns

from distq.broker.verdicts import NO_VERDICTS, Verdicts, released
from distq.worker import board
from distq.worker.board import (
    COUNT,
    ENTRY_FRAME,
    LEASE_UNTIL,
    LOW,
    NEVER,
    OLDEST,
    REVOKED,
    STARTED,
    STATE,
    VERDICT_BYTES,
    VERDICT_FRAME,
    VERDICT_SPAN,
    Slot,
)

Item = tuple[bytes, bytes, int, int, int]
"""(entry, message, fence, queue, reserved at by the monotonic clock)."""


class Unit(tuple[bytes, bytes, int, int, int]):
    """Items that run in one call of their handler. As an item it is the first of them."""

    items: tuple[Item, ...]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Unit:
        """Those of one type and key, of one queue."""
        unit = cls(items[0])
        unit.items = tuple(items)
        return unit


def flat(items: Iterable[Item]) -> list[Item]:
    """Each by itself."""
    return [one for item in items for one in (item.items if type(item) is Unit else (item,))]


Done = bytes | list[bytes]
"""The verdict on what a seat has run; of a unit, that on each of its items."""
NOTHING: Done = b""
"""Of a seat that has run nothing."""

MOST_STARTED = 256
"""So many entries that were started are left on the board before it is written anew."""

MOST_SETTLED = 1000
"""Verdicts in one step."""

FAR = 1 << 16
"""Verdicts that begin later than this on the board are moved to its front: what is never touched costs no memory."""

VOID = 255
"""As queue: held under a name that is not this child's any more. Whatever comes of it is not settled."""

_pack_frame = VERDICT_FRAME.pack_into
_FRAME = VERDICT_FRAME.size


class Hand:
    """The child's side of its slot."""

    def __init__(self, slot: Slot, seats: int = 1, has_units: bool = False) -> None:
        self._slot, self._words, self._seats, self._since = slot, slot.words, slot.seats, slot.since
        self._verdicts = slot.verdicts
        self._acquire, self._release = slot.lock.acquire, slot.lock.release
        slot.words[board.SEATS] = seats
        self.name = ""
        self.waiting: deque[Item] = deque()
        self.running: list[Item | None] = [None] * seats
        self.loose: list[tuple[int, bytes, int]] = []
        """(queue, verdict, seat): those for which the board has no room. They go along with the next step."""
        self._carried: list[tuple[int, Item | None]] = []
        """(seat, what it has run) of such verdicts on their way."""
        self._dropped: list[Item] = []
        """What a step has brought after the supervisor had given back what the child holds: it may be the child's."""
        self._noted: list[tuple[int, bytes]] = []
        self._sent = self._started = self._span = 0
        self._write_at = MOST_STARTED
        self._noted_ns = NEVER
        self._is_shared = seats > 1
        self.reserved = 0
        """How many tasks it has got in all, without those that it has given back."""
        self._has_units = has_units

    # -- its life ----------------------------------------------------------------------------------------------------

    def enter(self, name: str, lease_until_ns: int) -> None:
        """The child has registered under this name: what it held under another one is not its any more."""
        self.name = name
        with self._slot.lock:
            self._slot.name = name
            self.waiting.clear()
            self._noted.clear()
            self.loose.clear()
            self._dropped.clear()
            self._carried = []
            self._sent = self._words[board.FLYING] = self._words[board.ASKED] = 0
            self.running = [item and _void(item) for item in self.running]
            self._words[REVOKED] = self._words[board.DOUBTED] = self._words[board.SETTLING] = 0
            self._write_entries()
            self._write_verdicts()
            self._words[LEASE_UNTIL], self._words[OLDEST] = lease_until_ns, NEVER
            self._words[STATE] = board.IDLE

    def leave(self) -> None:
        """The child has given everything back and ends."""
        self._words[STATE] = board.LEFT

    @property
    def unsettled(self) -> int:
        """How many verdicts no step has carried yet."""
        return len(self._noted) - self._sent + len(self.loose) + len(self._dropped)

    def has_unsettled(self, queue: int) -> bool:
        """Whether there are some of this queue."""
        noted = self._noted[self._sent :] if self._sent else self._noted
        if any(its == queue for its, _ in noted):
            return True
        return any(their[0] == queue for their in self.loose) or any(item[3] == queue for item in self._dropped)

    @property
    def startable(self) -> int:
        """How many wait, and are still the child's."""
        return 0 if self._words[REVOKED] else len(self.waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, runs, or is to be settled."""
        return not (self.waiting or self._noted or self.loose or self._dropped or any(self.running))

    # -- running -----------------------------------------------------------------------------------------------------

    def start(self, seat: int, now_ns: int, last: Done = b"") -> Item | None:
        """Notes the verdict on what this seat has run, if it has, and gives it what to run next.

        None: nothing waits, or it is not the child's any more, or the lease is over, or the board is full. This is the
        hot path of a worker.
        """
        words, waiting = self._words, self.waiting
        self._acquire()
        try:
            if last:
                self._note(seat, last)
            if self.loose and self._is_loose(seat):
                return None
            item, index = None, 0
            if waiting and now_ns <= words[LEASE_UNTIL] and not words[REVOKED] and not self.loose:
                item = waiting.popleft()
                self._started = index = self._started + 1
                if type(item) is Unit:
                    more = len(item.items) - 1
                    self._started += more
                    index |= more << 32
            self.running[seat] = item
            # One after the other: who dies in between has finished what its seat still says. (struct's pack_into would
            # write zeros first.)
            words[VERDICT_SPAN] = self._span
            words[STARTED] = self._started
            self._since[seat] = now_ns
            self._seats[seat] = index
            if self._is_shared and (not waiting or len(self._noted) <= self._sent + 1):
                self._note_age(now_ns)  # else it changes with the next step, in a few ms
            return item
        finally:
            self._release()

    def end(self, seat: int, now_ns: int, last: Done) -> bool:
        """Notes the verdict on what this seat has run; nothing is started. Whether no other waits for a step."""
        with self._slot.lock:
            is_first = len(self._noted) == self._sent
            if last:
                self._note(seat, last)
            self._words[VERDICT_SPAN] = self._span
            if not (self.loose and self._is_loose(seat)):
                self.running[seat] = None
                self._seats[seat] = 0
            if not self.waiting or len(self._noted) <= self._sent + 1:
                self._note_age(now_ns)
        return is_first

    def _note(self, seat: int, verdict: Done) -> None:
        item = self.running[seat]
        if item is None or item[3] == VOID:
            return
        if type(verdict) is not bytes:
            for each in verdict:
                self._note(seat, each)  # type: ignore[arg-type]
            return
        queue, size, start = item[3], len(verdict), self._span & LOW
        at = start + _FRAME
        end = at + size
        if end > VERDICT_BYTES:
            self.loose.append((queue, verdict, seat))
            return
        _pack_frame(self._verdicts, start, size, queue)
        self._verdicts[at:end] = verdict
        self._span += end - start
        self._noted.append((queue, verdict))

    def _is_loose(self, seat: int) -> bool:
        """Whether what this seat has run is finished, and for the board it runs until a step carries its verdict."""
        return any(its == seat for _, _, its in self.loose)

    # -- a step ------------------------------------------------------------------------------------------------------

    def collect(self, queue: int, step: int, asks: bool = False) -> Verdicts:
        """The verdicts for this queue, for a step after the one of this number: they are on their way. `asks`: whether
        that step may bring something."""
        words = self._words
        with self._slot.lock:
            self._notice()
            mine = [verdict for its, verdict in self._noted if its == queue][:MOST_SETTLED]
            if len(mine) < len(self._noted):
                self._put_first(queue, mine)
            loose = [verdict for its, verdict, _ in self.loose if its == queue]
            self._carried = [(seat, self.running[seat]) for its, _, seat in self.loose if its == queue]
            self.loose = [their for their in self.loose if their[0] != queue]
            words[board.QUEUE], words[board.STEP] = queue, step
            words[board.FLYING] = board.UNKNOWN if loose else board.KNOWN
            self._sent = words[board.SENT] = words[board.TAKEN] = len(mine)
            now_ns = monotonic_ns()
            words[board.ASKED] = now_ns if asks and self._is_shared else 0
            self._note_age(now_ns)
        return Verdicts(len(mine) + len(loose), b"".join(mine + loose)) if mine or loose else NO_VERDICTS

    def settled(self, items: Iterable[Item] = ()) -> None:
        """The step has been answered: what it carried is settled, and this is what it has brought."""
        words = self._words
        with self._slot.lock:
            is_revoked = self._notice()
            self._drop_sent()
            for seat, item in self._carried:
                if self.running[seat] is item:
                    self.running[seat], self._seats[seat] = None, 0
            self._carried = []
            words[board.FLYING] = words[board.ASKED] = 0
            new = list(items)
            if is_revoked:
                self._dropped.extend(new)
            elif new:
                words[board.FETCHES] += 1
                words[board.DOUBTED] = 0
                self.reserved += self._number(new)
                self.waiting.extend(new)
                if self._started > self._write_at or len(self.waiting) == len(new):
                    self._write_entries()
                else:
                    self._append_entries(new)
            is_idle = not (self.waiting or self._noted or any(self.running))
            words[STATE] = board.IDLE if is_idle else board.BUSY
            self._note_age(monotonic_ns())

    def give_back(self, queue: int) -> list[Item]:
        """What waits of this queue, to be released: none of it is started any more."""
        with self._slot.lock:
            self._notice()
            items = [item for item in self.waiting if item[3] == queue]
            if items:
                self.reserved -= self._number(items)
                self.waiting = deque(item for item in self.waiting if item[3] != queue)
                self._write_entries()
                self._note_age(monotonic_ns())
        return items

    def take_dropped(self, queue: int) -> list[Item]:
        """What is to be released in this queue with the next step, in case that it is held."""
        mine = [item for item in self._dropped if item[3] == queue]
        self._dropped = [item for item in self._dropped if item[3] != queue]
        return mine

    def _notice(self) -> bool:
        """What the supervisor has taken away is gone; whether it was something. The lock is held."""
        words = self._words
        is_revoked = bool(words[REVOKED])
        if is_revoked:
            self.reserved -= self._number(self.waiting)
            self.waiting.clear()
            del self._noted[self._sent : max(self._sent, words[board.TAKEN])]
            words[REVOKED] = words[board.TAKEN] = 0
            self._write_entries()
            self._write_verdicts()
        return is_revoked

    def _note_age(self, now_ns: int) -> None:
        """Since when something waits. A single thread that holds one task waits for nothing else. The lock is held."""
        if len(self._noted) == self._sent:
            self._noted_ns = NEVER
        elif self._noted_ns == NEVER:
            self._noted_ns = now_ns
        first = self.waiting[0][4] if self.waiting else NEVER
        if len(self.waiting) == 1 and not self._is_shared:
            first = NEVER
        self._words[OLDEST] = min(first, self._noted_ns)

    def _write_entries(self) -> None:
        running: list[Item] = []
        for seat, item in enumerate(self.running):
            if item is not None:  # the others say 0: there may be many
                more = len(item.items) - 1 if type(item) is Unit else 0
                self._seats[seat] = more << 32 | len(running) + 1
                running += flat([item])
        self._started = len(running)
        self._write_at = self._started + MOST_STARTED
        words = self._words
        words[board.ENTRIES_END] = words[COUNT] = 0
        words[STARTED] = self._started
        self._append_entries((*running, *self.waiting))

    def _append_entries(self, items: Sequence[Item]) -> None:
        if not items:
            return
        if self._has_units:
            items = flat(items)
        words, end = self._words, self._words[board.ENTRIES_END]
        entries, queues = [item[0] for item in items], [item[3] for item in items]
        if max(map(len, entries)) > board.MAX_ENTRY_BYTES:
            entries = [entry[: board.MAX_ENTRY_BYTES] for entry in entries]
        frames = map(ENTRY_FRAME.pack, map(len, entries), queues)
        raw = b"".join(chain.from_iterable(zip(frames, entries, strict=True)))
        self._slot.entries[end : end + len(raw)] = raw
        words[board.ENTRIES_END] = end + len(raw)
        words[COUNT] += len(entries)

    def _number(self, items: Collection[Item]) -> int:
        """How many tasks these are."""
        if not self._has_units:
            return len(items)
        return sum([len(item.items) if type(item) is Unit else 1 for item in items])

    @property
    def is_full(self) -> bool:
        """Whether batches have filled it: more would not have room on the board."""
        if not self._has_units:
            return False
        running = [item for item in self.running if item is not None]
        return self._number(self.waiting) + self._number(running) + len(self._noted) >= board.BATCHED

    def _put_first(self, queue: int, mine: list[bytes]) -> None:
        """These verdicts of this queue, which go with its step."""
        number, others = len(mine), []
        for pair in self._noted:
            if pair[0] == queue and number:
                number -= 1
            else:
                others.append(pair)
        self._noted = [(queue, verdict) for verdict in mine] + others
        self._write_verdicts()

    def _drop_sent(self) -> None:
        """What a step carried is settled. A child that dies between the two leaves it as if it was not: no harm."""
        words, sent = self._words, self._noted[: self._sent]
        del self._noted[: self._sent]
        self._sent = words[board.SENT] = words[board.TAKEN] = 0
        if self._noted:
            self._span += sum([_FRAME + len(verdict) for _, verdict in sent]) << 32
        else:
            self._span = 0
        words[VERDICT_SPAN] = self._span
        if self._span >> 32 > FAR:
            self._write_verdicts()

    def _write_verdicts(self) -> None:
        """Beside those that are there, which are valid until the span tells of the new ones: a child may die here."""
        frame = VERDICT_FRAME.pack
        raw = b"".join([part for queue, verdict in self._noted for part in (frame(len(verdict), queue), verdict)])
        at = 0 if len(raw) <= self._span >> 32 else self._span & LOW
        if at + len(raw) > VERDICT_BYTES:
            self._words[VERDICT_SPAN] = at = 0  # there is no room for both: if it dies now, they run again
        self._verdicts[at : at + len(raw)] = raw
        self._span = self._words[VERDICT_SPAN] = at << 32 | at + len(raw)


def releases(items: Sequence[Item]) -> Verdicts:
    """What was not started goes back in front, in its order."""
    return released([item[0] for item in flat(items)])


def _void(item: Item) -> Item:
    """Held under a name that is not the child's any more."""
    if type(item) is Unit:
        return Unit.of([(*one[:3], VOID, one[4]) for one in item.items])
    return (*item[:3], VOID, item[4])
