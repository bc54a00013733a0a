"""Moves between queues that nobody has brought to an end: whoever moved is dead, or cut off. A keeper sees to it.

A move that is seen twice, a lease apart, is given up: what has left arrives, and what has not stays where it is.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from distq.broker import keys, transfer
from distq.broker.transfer import Note, Steps
from distq.supervisor.service import Site

logger = logging.getLogger("distq.supervisor")


class Arrivals:
    """The look at the notes of one queue after the other."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: dict[tuple[int, str], set[Note]] = {}

    def look(self, queue: int) -> None:
        """Once per lease, by a keeper."""
        for place in ("LEAVING", "ARRIVING"):
            command = transfer.notes(self._site.prefixes[queue], place)
            self._site.link.submit(command, partial(self._looked, queue, place), lambda: None)

    def _looked(self, queue: int, place: str, reply: Any) -> None:
        found = set(transfer.read_notes(reply))
        for note in found & self._seen.get((queue, place), set()):
            own, other = self._site.prefixes[queue], keys.prefix(keys.app_of(self._site.prefixes[queue]), note.other)
            source, target = (own, other) if place == "LEAVING" else (other, own)
            self._advance(transfer.transfer(source, target, [note.id], transfer.ONLY_LEFT, note.token), note, None)
        self._seen[queue, place] = found

    def _advance(self, steps: Steps, note: Note, reply: Any) -> None:
        try:
            command = steps.send(reply)
        except StopIteration as end:
            if end.value == [transfer.MOVED]:
                logger.warning("task %s has arrived: whoever moved it between two queues had not ended that", note.id)
            return
        self._site.link.submit(command, partial(self._advance, steps, note), lambda: None)
