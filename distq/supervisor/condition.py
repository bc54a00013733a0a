"""How this host is: for its metrics, and for who asks whether it takes tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from distq.broker.links import Links
from distq.durations import format_duration
from distq.supervisor.children import Children
from distq.supervisor.processes import is_stopped
from distq.supervisor.service import Site
from distq.supervisor.templates import Templates
from distq.worker import board


@dataclass(frozen=True)
class Condition:
    """What can be seen of it without asking anybody."""

    site: Site
    children: Children
    templates: Templates
    connections: Sequence[Links]

    @property
    def places(self) -> int:
        """How many tasks it is to run at a time."""
        return sum(map(self.children.seats, self.children.manned))

    @property
    def seats(self) -> int:
        """How many it can run just now: in the processes that are ready."""
        return sum(map(self.children.seats, filter(self.children.is_ready, self.children.manned)))

    @property
    def busy(self) -> int:
        """How many do."""
        return sum(len(slot.busy) for slot in self.site.board.slots)

    @property
    def longest_s(self) -> float:
        """How long one of these has run, at most."""
        begun = [slot.since[seat] for slot in self.site.board.slots for seat in slot.busy]
        return max((time.monotonic_ns() - since for since in begun), default=0) / 1e9

    @property
    def lease_losses(self) -> int:
        """Of its processes."""
        return self._counted(board.LEASE_LOSSES)

    @property
    def reconnects(self) -> int:
        """Of its processes and of its supervisor."""
        returns = sum(link.returns for links in self.connections for link in links.all)
        return self._counted(board.RECONNECTS) + returns

    @property
    def pids(self) -> list[int]:
        """Of the processes below the supervisor."""
        return [*self.templates.pids, *self.children.pids()]

    @property
    def is_alive(self) -> bool:
        """Whether it can work, or need not just now. A broker that is away is no reason to begin anew."""
        children = self.children
        is_isolating = children.only is not None
        is_told = children.is_ending or children.is_quiet or is_isolating
        is_excused = is_told or self.site.link.failing_since is not None
        return not self.hangs and (is_excused or any(map(children.is_ready, children.manned)))

    @property
    def hangs(self) -> bool:
        """Whether nothing in it goes on: all its processes were stopped."""
        pids = self.children.pids()
        return bool(pids) and all(map(is_stopped, pids))

    @property
    def unready(self) -> str:
        """Why it takes no tasks now; "" if it does."""
        children, since = self.children, self.site.link.failing_since
        if children.is_ending:
            return "it ends"
        if children.is_quiet:
            return "it was told to start nothing (SIGTSTP)"
        if since is not None:
            return f"the broker has not answered for {format_duration(time.monotonic() - since)}"
        pids = children.pids()
        if stopped := sum(map(is_stopped, pids)):
            return f"{stopped} of {len(pids)} processes are stopped (SIGSTOP)"
        ready = sum(map(children.is_ready, children.manned))
        if ready < len(children.manned):
            return f"{ready} of {len(children.manned)} processes are ready"
        return ""

    def _counted(self, word: int) -> int:
        return sum(slot.words[word] for slot in self.site.board.slots)
