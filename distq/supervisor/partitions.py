"""Partitions that this host's application does not declare, but the broker knows: another release declares more of
them, or did. Those that are there at the start are served: what is in them is done. Later ones are named in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distq.broker import keys
from distq.broker.scripts import Reply, encode
from distq.message import family
from distq.supervisor.service import Service, Site

logger = logging.getLogger("distq.supervisor")

TIMEOUT_S = 3.0
LOOK_S = 60.0


def served(url: str, app: str, queues: Sequence[str]) -> list[str]:
    """These queues, and further partitions that there are of them. Raises BrokerUnavailable."""
    from distq.broker.inspect import applications  # noqa: PLC0415 (needed once)

    return [*queues, *_further(queues, applications(url, TIMEOUT_S).get(app, ()))]


def _further(queues: Sequence[str], known: Iterable[str]) -> list[str]:
    """A host that was told to serve one partition serves just that: its queue is not among these."""
    return [name for name in known if name not in queues and family(name) in queues]


def unlike(before: Mapping[str, Any], now: Mapping[str, Any], has_same_queues: bool) -> str:
    """What keeps a host from using fresh code of its application, by what a template tells of both; "": nothing."""
    if any(before[name] != now[name] for name in ("name", "url")):
        return "it has another name or broker now"
    return "it has other queues now" if has_same_queues and {*before["queues"]} != {*now["queues"]} else ""


def compare(served: Sequence[str], before: Sequence[str], now: Sequence[str]) -> None:
    """Says what fresh code changes in the queues, and a host that runs does not."""
    if new := [queue for queue in now if queue not in served]:
        logger.warning("start this host again to serve new queues: %s", ", ".join(new))
    if gone := [queue for queue in before if queue not in now]:
        logger.warning("not declared any more, and served until this host is started again: %s", ", ".join(gone))


class Partitions(Service):
    """1. makes all queues of this host known; 2. looks once a minute whether there are new partitions."""

    def __init__(self, site: Site, app: str) -> None:
        self._site, self._app = site, app
        self._next = time.monotonic() + LOOK_S
        self._seen = list(site.queues)
        names = [keys.known_queue(app, queue) for queue in self._seen]
        site.link.submit(encode("SADD", keys.KNOWN_QUEUES, *names), lambda reply: None, lambda: None)

    def deadline(self) -> float:
        """In a minute."""
        return self._next

    def work(self, now: float) -> None:
        """Asks."""
        if now >= self._next:
            self._next = now + LOOK_S
            self._site.link.submit(encode("SMEMBERS", keys.KNOWN_QUEUES), self._compare, lambda: None)

    def _compare(self, members: Reply) -> None:
        pairs = (member.decode("utf-8", "replace").partition("/") for member in members)
        new = _further(self._seen, sorted(queue for app, _, queue in pairs if app == self._app))
        if new:
            self._seen += new
            logger.warning(
                "there are new partitions: %s; this host does not serve them until it is started again", ", ".join(new)
            )
