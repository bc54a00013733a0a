"""The metrics port of a worker host, served by the supervisor's own loop: it takes what comes, and waits for nobody.

1. takes a connection, and reads a request; 2. asks the broker for its numbers, behind whatever the supervisor says to
it; 3. writes the page, one piece whenever the other side takes one.

A scraper that is slow, silent or gone costs a few kilobytes for a few seconds, and nobody's time (docs/decisions/0019).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from distq.broker.backlog import AT_ONCE, Backlog, backlogs, by_queue, together
from distq.broker.together import parts
from distq.demand import within
from distq.errors import ConfigurationError
from distq.exposition import CONTENT_TYPE, Queues, of_queues
from distq.supervisor import host_page
from distq.supervisor.condition import Condition
from distq.supervisor.outlook import Outlook
from distq.supervisor.service import NEVER, Service, Site
from distq.supervisor.visitor import PLAIN, Visitor

DEFAULT_PORT = 8080
TRIES = 100
MOST_VISITORS = 64
BROKER_S = 1.0
"""How long an answer waits for the broker."""
REST_S = 1.0
"""Pause before the next connection when one could not be taken."""
LIVE = ("/livez", "/healthz")
HEALTH = (*LIVE, "/readyz")
UNAVAILABLE = "503 Service Unavailable"
STARTS = "it starts"

Show = Callable[[Queues], None]


class _Patience(NamedTuple):
    """For the broker: how long, and what is to be done then."""

    until: float
    show: Show


NOTHING = _Patience(NEVER, lambda queues: None)
"""It does not wait for that."""


class PortTaken(Exception):
    """The given metrics port is in use."""


class MetricsDoor(Service):
    """The listening socket, bound at once so that a taken port is an error at start, and who has come in.

    Only the supervisor holds it: one that nobody answers on would look like a host that hangs.
    """

    def __init__(self, port: int | None) -> None:
        self._socket = _bind_free() if port is None else _bind(port)
        self.port: int = self._socket.getsockname()[1]
        self._visitors: dict[Visitor, _Patience] = {}
        self._opens_at = NEVER
        self._condition: Condition | None = None
        """None: the application is being imported."""

    def opened(self, selector: selectors.BaseSelector) -> MetricsDoor:
        """Begins to answer: that the host lives, and starts."""
        self._selector = selector
        selector.register(self._socket, selectors.EVENT_READ, self._welcome)
        return self

    def start(self, condition: Condition) -> None:
        """The host works."""
        self._condition, self._outlook = condition, Outlook(condition)
        self._backlogs = _Backlogs(condition.site, self._found)

    def close(self) -> None:
        """Ends it in this process; a fork closes its copies."""
        for visitor in self._visitors:
            visitor.socket.close()
        self._socket.close()

    def deadline(self) -> float:
        """When somebody has waited long enough."""
        waits = [min(wait.until, visitor.deadline) for visitor, wait in self._visitors.items()]
        return min(self._opens_at, *waits) if waits else self._opens_at

    def work(self, now: float) -> None:
        """Opens the door; ends the waiting that has been too long."""
        if now >= self._opens_at:
            self._opens_at = NEVER
            self._selector.register(self._socket, selectors.EVENT_READ, self._welcome)
        for visitor, wait in list(self._visitors.items()):
            if now >= wait.until:
                self._told(visitor, {})
            elif now >= visitor.deadline:
                visitor.end()

    def _welcome(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except BlockingIOError:  # whoever it was has left again
            return
        except OSError:  # no file descriptor is free: the same connection would wake us again and again
            self._selector.unregister(self._socket)
            self._opens_at = time.monotonic() + REST_S
            return
        if len(self._visitors) >= MOST_VISITORS:  # whoever has been here longest: most are answered within a moment
            next(iter(self._visitors)).end()
        self._visitors[Visitor(sock, self._selector, self._answer, self._gone)] = NOTHING

    def _gone(self, visitor: Visitor) -> None:
        del self._visitors[visitor]

    def _answer(self, visitor: Visitor, path: str, query: str) -> None:
        if path in LIVE:
            why = "all processes are stopped" if self._condition and self._condition.hangs else ""
            visitor.reply(UNAVAILABLE if why else "200 OK", PLAIN, [f"{why or 'ok'}\n"])
        elif path in HEALTH:
            why = self._condition.unready if self._condition else STARTS
            visitor.reply(UNAVAILABLE if why else "200 OK", PLAIN, [f"not ready: {why}\n" if why else "ok\n"])
        elif self._condition is None:
            visitor.reply(UNAVAILABLE, PLAIN, [f"{STARTS}\n"])
        elif path in ("/metrics", "/"):
            self._ask(visitor, partial(self._show, visitor, self._condition))
        elif path == "/scale":
            try:
                self._ask(visitor, partial(self._scale, visitor, within(_asked(query))))
            except ConfigurationError as error:
                visitor.reply("400 Bad Request", PLAIN, [f"{error}\n"])
        else:
            visitor.reply("404 Not Found", PLAIN, ["not found: try /metrics\n"])

    def _ask(self, visitor: Visitor, show: Show) -> None:
        self._visitors[visitor] = _Patience(time.monotonic() + BROKER_S, show)
        self._outlook.ask()
        self._backlogs.ask()

    def _found(self, queues: Queues) -> None:
        """For all who still wait for it."""
        if queues:
            self._outlook.note(together(list(queues.values())))
        for visitor, patience in list(self._visitors.items()):
            if patience.until != NEVER:
                self._told(visitor, queues)

    def _told(self, visitor: Visitor, queues: Queues) -> None:
        patience, self._visitors[visitor] = self._visitors[visitor], NOTHING
        patience.show(queues)

    def _show(self, visitor: Visitor, condition: Condition, queues: Queues) -> None:
        """The page, without what the broker tells if it is away."""
        site = condition.site
        pages = [host_page.of_types(site.board, site.names), host_page.of_host(condition)]
        if queues:
            wanted = self._outlook.demand(together(list(queues.values()))).wanted_workers
            pages += host_page.of_demand(wanted), of_queues(queues, set(site.names))
        visitor.reply("200 OK", CONTENT_TYPE, chain.from_iterable(pages))

    def _scale(self, visitor: Visitor, within_s: float, queues: Queues) -> None:
        if queues:
            demand = self._outlook.demand(together(list(queues.values())), within_s)
            visitor.reply("200 OK", "application/json", [json.dumps(demand._asdict()) + "\n"])
        else:
            visitor.reply(UNAVAILABLE, PLAIN, ["the broker does not answer\n"])


class _Backlogs:
    """Asks the broker, once for all who wait: while it is away, questions must not pile up."""

    def __init__(self, site: Site, show: Show) -> None:
        self._site, self._show = site, show
        self._found: dict[int, Backlog | None] = {}
        self._open = 0

    def ask(self) -> None:
        """Shows what is in all queues but those that are broken, or {} if the broker refuses."""
        if self._open:
            return
        asked = [queues for group in self._site.groups for queues in parts(group, AT_ONCE)]
        self._found, self._open = {}, len(asked)
        for queues in asked:
            command = backlogs([self._site.prefixes[queue] for queue in queues])
            self._site.link.submit(command, partial(self._take, queues), self._answered)

    def _take(self, queues: Sequence[int], found: Sequence[Backlog | None]) -> None:
        self._found.update(zip(queues, found, strict=True))
        self._answered()

    def _answered(self) -> None:
        self._open -= 1
        if self._open == 0:
            names, is_whole = self._site.queues, len(self._found) == len(self._site.prefixes)
            self._show(by_queue(names, map(self._found.get, range(len(names)))) if is_whole else {})


def _asked(query: str) -> str:
    """What stands behind `within=`."""
    given = re.search(r"(?:^|&)within=([^&]*)", query)
    return given[1] if given else ""


def _bind(port: int) -> socket.socket:
    """On all interfaces, also of IPv6: scrapers come from elsewhere, and it shows numbers only."""
    has_both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if has_both else socket.AF_INET
    try:
        listener = socket.create_server(("", port), family=family, backlog=64, dualstack_ipv6=has_both)
    except OSError as error:
        raise PortTaken(f"metrics port {port}: {os.strerror(error.errno or 0)}") from error
    listener.setblocking(False)
    return listener


def _bind_free() -> socket.socket:
    """8080, or the next free one."""
    for port in range(DEFAULT_PORT, DEFAULT_PORT + TRIES):
        with contextlib.suppress(PortTaken):
            return _bind(port)
    raise PortTaken(f"no free metrics port from {DEFAULT_PORT} to {DEFAULT_PORT + TRIES - 1}; give one, or 0 for none")
