"""Renews the leases of this host's workers, and takes back what workers of dead hosts held.

A reaper must not act on a stopped clock. It acts on a lease that has ended by the broker's clock *and* that it has seen
unchanged for two fifths of a lease by its own, in looks without a gap: a broker that paused, or whose clock was set,
reaps nobody, because everybody renews every quarter of a lease.

A renewal also tells how much each worker holds. One that has been idle from one renewal to the next, and holds
something at both, is told to give it back: its reservation was stranded, by whatever cause. For one that is busy the
status board says what it holds, if it makes no step meanwhile; what is too much at two renewals goes back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from distq.broker import keys, together, verbs
from distq.broker.link import SAY_AGAIN_S
from distq.broker.verdicts import NO_VERDICTS
from distq.supervisor.autopsy import lost
from distq.supervisor.host import Identity
from distq.supervisor.service import Service, Site
from distq.worker import board

logger = logging.getLogger("distq.supervisor")


class _Seen(NamedTuple):
    until: str
    first: float


class Leases(Service):
    """Renewal and reaping for all queues. `keeper_is(queue, host, now_ms)` is called after each renewal, with the
    broker's time."""

    def __init__(self, site: Site, keeper_is: Callable[[int, str, int], None], poke_all: Callable[[], None]) -> None:
        self._site = site
        self._lease_s = site.config.lease_ms / 1000
        self._next = 0.0
        self._seen: list[dict[str, _Seen]] = [{} for _ in site.prefixes]
        self._looked = [0.0 for _ in site.prefixes]
        self._keeper_is, self._poke_all = keeper_is, poke_all
        self._idle_since: dict[tuple[int, str], int] = {}
        self._holds_too_much: set[tuple[int, str]] = set()
        self._asked: set[tuple[int, int]] = set()
        """A crew, and the first of each group of queues whose renewal has not been answered."""
        self._say_at: dict[int, float] = {}

    def deadline(self) -> float:
        """Every quarter of a lease."""
        return self._next

    def work(self, now: float) -> None:
        """Renews in every queue."""
        if now < self._next:
            return
        self._next = now + self._lease_s / 4
        site = self._site
        for group in site.groups:
            for queues in together.parts(group):
                for crew in range(len(site.crews)):
                    if (crew, queues[0]) not in self._asked:
                        self._renew(crew, queues)
                for former in site.former:
                    prefixes, lease_ms = [site.prefixes[queue] for queue in queues], site.config.lease_ms
                    command = together.renew(prefixes, site.host, lease_ms, former.digest, former.types, [])
                    site.link.submit(command, lambda renewals: None, lambda: None)

    def _renew(self, crew: int, queues: Sequence[int]) -> None:
        site, asked = self._site, (crew, queues[0])
        named = [
            (slot, slot.name)
            for slot in site.board.slots
            if site.crew_of(slot.index) == crew and slot.words[board.STATE] not in (board.EMPTY, board.LEFT)
        ]
        named = [(slot, name) for slot, name in named if name]
        if not (named or site.crews[crew].is_needed):
            return
        sent, holds = time.monotonic_ns(), [[slot.holds(name, queue) for slot, name in named] for queue in queues]
        command = together.renew(
            [site.prefixes[queue] for queue in queues], site.host, site.config.lease_ms,
            site.crews[crew].digest, site.crews[crew].types, [name for _, name in named],
        )  # fmt: skip
        self._asked.add(asked)

        def renewed(renewals: list[together.Renewal | None]) -> None:
            self._asked.discard(asked)
            for queue, held_before, renewal in zip(queues, holds, renewals, strict=True):
                if renewal is None:
                    self._refused(queue)
                    continue
                self._renewed(queue, named, sent, renewal)
                for (slot, name), before, held in zip(named, held_before, renewal.held, strict=True):
                    self._compare(queue, slot, name, before, held)

        site.link.submit(command, renewed, lambda: self._asked.discard(asked))  # the next one comes by itself

    def _refused(self, queue: int) -> None:
        """Somebody broke a key of this queue: the others have been renewed."""
        now = time.monotonic()
        if now >= self._say_at.get(queue, 0.0):
            self._say_at[queue] = now + SAY_AGAIN_S
            logger.error("the broker refuses renew in queue %s", keys.queue_of(self._site.prefixes[queue]))

    def _renewed(self, queue: int, named: list[tuple[board.Slot, str]], sent: int, renewal: together.Renewal) -> None:
        until = sent + self._site.config.lease_ms * 1_000_000
        for (slot, name), held in zip(named, renewal.held, strict=True):
            if slot.name != name:
                continue
            if held < 0:
                slot.stop_starting()
            else:
                slot.extend(until)
            self._doubt(queue, slot, name, held)
        self._reap(queue, renewal.silent)
        self._keeper_is(queue, renewal.keeper, renewal.now_ms)

    def _doubt(self, queue: int, slot: board.Slot, name: str, held: int) -> None:
        """Notices an idle worker that holds something, and the second time in a row tells it."""
        words = slot.words
        fetches = words[board.FETCHES]
        if held <= 0 or words[board.STATE] != board.IDLE or words[board.SETTLING]:
            self._idle_since.pop((queue, name), None)
        elif self._idle_since.get((queue, name)) != fetches:
            self._idle_since[queue, name] = fetches
        else:
            words[board.DOUBTED] = 1
            self._poke_all()

    def _compare(
        self, queue: int, slot: board.Slot, name: str, before: tuple[int, list[bytes]] | None, held: int
    ) -> None:
        """Notices a busy worker that is said to hold more than it does, and the second time takes that back."""
        now = slot.holds(name, queue)
        if before is None or now is None or now[0] != before[0] or slot.words[board.SETTLING]:
            return
        step, entries = now
        if held <= len(entries):
            self._holds_too_much.discard((queue, name))
        elif (queue, name) not in self._holds_too_much:
            self._holds_too_much.add((queue, name))
        else:
            self._holds_too_much.discard((queue, name))
            logger.warning("worker %s: the broker has it hold what it does not: giving that back", name)
            site = self._site
            command = verbs.settle(site.prefixes[queue], name, next(site.numbers), NO_VERDICTS, step, entries)
            site.link.submit(command, lambda answer: None, lambda: None)

    def _reap(self, queue: int, silent: list[tuple[str, str]]) -> None:
        now = time.monotonic()
        before = self._seen[queue] if now - self._looked[queue] < self._lease_s / 2 else {}
        self._looked[queue] = now
        seen: dict[str, _Seen] = {}
        for worker, until in silent:
            known = before.get(worker)
            seen[worker] = known if known is not None and known.until == until else _Seen(until, now)
            if now - seen[worker].first >= 0.4 * self._lease_s:
                self.recover(queue, worker, until)
        self._seen[queue] = seen

    def find_orphans(self, queue: int, ours: Identity, present: list[verbs.Present]) -> None:
        """Workers of a supervisor that lived on this machine and is gone: no need to wait for their lease."""
        for worker in present:
            identity = Identity.from_text(worker.info)
            if identity is not None and identity.is_gone_from(ours):
                self.recover(queue, worker.name, "")

    def recover(self, queue: int, worker: str, until: str) -> None:
        """Takes back what a lost worker holds; the broker refuses while its lease runs or if it was renewed."""
        why = f"its host was lost: {'no sign of life for longer than its lease' if until else 'its supervisor is gone'}"
        command = verbs.recover(
            self._site.prefixes[queue], worker, "lost", expected=until, record=lost(why, worker),
            max_deliveries=self._site.config.max_deliveries,
        )  # fmt: skip
        self._site.link.submit(command, lambda recovery: self._recovered(queue, worker, recovery), lambda: None)

    def _recovered(self, queue: int, worker: str, recovery: verbs.Recovery) -> None:
        if recovery.word != "ok":
            return
        count = recovery.released + recovery.suspected + recovery.charged
        say = logger.warning if count else logger.debug
        say(
            "worker %s is lost: %d of its tasks go back, %d of them to run alone, %d are dead",
            worker, count - recovery.buried,
            recovery.suspected + recovery.charged - recovery.buried, recovery.buried,
        )  # fmt: skip
        if recovery.left:
            self.recover(queue, worker, "")
