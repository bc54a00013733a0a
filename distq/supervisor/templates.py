"""The template processes of a host: one, and for a while a second one that has imported the application afresh.

Children belong to the template that has forked them and die with it, so the old one stays until its last child is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from distq.broker import scripts
from distq.supervisor.autopsy import how_it_ended
from distq.supervisor.processes import next_pause, prepare_to_fork
from distq.supervisor.service import NEVER, Service
from distq.supervisor.template import Shared, run_template

logger = logging.getLogger("distq.supervisor")


class Template:
    """One template process, as its supervisor knows it."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid, self.channel = pid, channel
        self.buffer = b""
        self.ready_at = NEVER
        self.failure = ""
        """Why it could not load the application."""

    def fork(self, slot: int, queues: list[str]) -> None:
        """Asks for a child in this slot; one that has just died is asked in vain."""
        with contextlib.suppress(OSError):
            self.channel.sendall(json.dumps({"fork": slot, "queues": queues}).encode() + b"\n")

    def retire(self) -> None:
        """It ends; its children must be gone."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Ends it, and on Linux its children."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)


class Offspring(Protocol):
    """What templates tell of the children that they fork."""

    def use(self, template: Template | None) -> None: ...  # noqa: D102
    def forked(self, slot: int, pid: int) -> None: ...  # noqa: D102
    def not_forked(self, slot: int, why: str) -> None: ...  # noqa: D102
    def exited(self, pid: int, status: int, rss_kb: int) -> None: ...  # noqa: D102
    def all_exited(self, template: Template) -> None: ...  # noqa: D102
    def has_any_of(self, template: Template) -> bool: ...  # noqa: D102


class Templates(Service):
    """1. starts the first one, whose failure is the host's;
    2. starts another when the one in use has died, after a pause, or when fresh code is wanted;
    3. ends those that are not in use any more when their children are gone.
    """

    def __init__(self, shared: Shared, selector: selectors.BaseSelector, in_the_fork: Callable[[], None]) -> None:
        scripts.files()  # all processes share them, and none reads those of a later release
        self._shared, self._selector, self._in_the_fork = shared, selector, in_the_fork
        self._all: list[Template] = []
        self._loading: Template | None = None
        self._used: Template | None = None
        self._children: Offspring | None = None
        self._accepts: Callable[[dict[str, Any]], str] = lambda facts: ""
        self._start_at, self._pause = NEVER, 0.0
        self.is_over = False
        """Whether no other one is started."""
        self.facts: dict[str, Any] | None = None
        """What the first one has found."""
        self.failure = ""
        """Why there is no first one."""
        self.names: list[str] = []
        """Of types, in the order of their counters on the board, which outlive a template."""

    @property
    def is_in_use(self) -> bool:
        """Whether there is one that forks."""
        return self._used is not None

    @property
    def is_loading(self) -> bool:
        """Whether one imports the application."""
        return self._loading is not None or self._start_at != NEVER

    @property
    def pids(self) -> tuple[int, ...]:
        """Those that live."""
        return tuple(template.pid for template in self._all)

    def serve(self, children: Offspring, accepts: Callable[[dict[str, Any]], str]) -> None:
        """From now on children are forked. `accepts` is asked about the facts of each further one: what is wrong with
        them, or "" if they are used from now on."""
        self._children, self._accepts = children, accepts
        children.use(self._used)

    def start(self) -> None:
        """Forks one. Another one that is still loading gives way to it."""
        if self._loading is not None:
            self._loading.kill()
        self._start_at = NEVER
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        prepare_to_fork()
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._could_not_fork(error)
            return
        if pid == 0:
            ours.close()
            for other in self._all:
                other.channel.close()
            self._in_the_fork()
            run_template(theirs, self._shared, parent, self.names)
        theirs.close()
        template = self._loading = Template(pid, ours)
        self._all.append(template)
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, template))

    def _could_not_fork(self, error: OSError) -> None:
        """The machine has no room for it. What is there goes on."""
        if self._children is None:
            self.failure = f"no process can be started: {error}"
            return
        self._pause = next_pause(self._pause, 0.0)
        self._start_at = time.monotonic() + self._pause
        logger.error("the template process could not be started: %s; again in %g s", error, self._pause)

    def deadline(self) -> float:
        """When the next one is started."""
        return self._start_at

    def work(self, now: float) -> None:
        """Starts one when it is time; ends those that are not needed."""
        if now >= self._start_at:
            self.start()
        for template in self._all:
            is_old = template is not self._used and template is not self._loading
            if is_old and self._children is not None and not self._children.has_any_of(template):
                template.retire()

    def stop(self) -> None:
        """No other one is started, or comes into use."""
        self.is_over, self._start_at = True, NEVER
        if self._loading is not None:
            self._loading.kill()

    def kill_all(self) -> None:
        """Ends them now."""
        for template in self._all:
            template.kill()

    def end(self) -> None:
        """Ends them, and waits for that."""
        self.kill_all()
        for template in self._all:
            with contextlib.suppress(OSError):
                template.channel.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(template.pid, 0)
        self._all.clear()

    # -- what they say -----------------------------------------------------------------------------------------------

    def _hear(self, template: Template) -> None:
        """Lines from a template."""
        try:
            data = template.channel.recv(65536)
        except ConnectionError:  # it died with an order unread
            data = b""
        if not data:
            self._is_gone(template)
            return
        *lines, template.buffer = (template.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "ready" in message:
                self._is_ready(template, message["ready"])
            elif "failed" in message:
                template.failure = message["failed"]
            elif self._children is not None and "forked" in message:
                self._children.forked(message["forked"], message["pid"])
            elif self._children is not None and "not_forked" in message:
                self._children.not_forked(message["not_forked"], message["why"])
            elif self._children is not None and "exited" in message:
                self._children.exited(message["exited"], message["status"], message["rss"])

    def _is_ready(self, template: Template, facts: dict[str, Any]) -> None:
        template.ready_at = time.monotonic()
        if self._loading is template and not self.is_over:
            self._loading = None
            template.failure = self._accepts(facts)
            if not template.failure:
                self.names = facts["names"]
                self._used = template
                if self._children is not None:
                    self._children.use(template)
                self.facts = self.facts or facts

    def _is_gone(self, template: Template) -> None:
        """All its children are gone with it. If it was in use, a new one is started, after a pause that grows."""
        self._selector.unregister(template.channel)
        template.channel.close()
        self._all.remove(template)
        _, status = os.waitpid(template.pid, 0)
        was_used, was_loading = template is self._used, template is self._loading
        self._used = None if was_used else self._used
        self._loading = None if was_loading else self._loading
        if self._children is None and not was_loading:
            return  # another one had to begin before it was ready
        if self._children is None:
            self.failure = template.failure or (
                f"the application could not be loaded: its process {how_it_ended(status)}"
            )
            return
        self._children.all_exited(template)
        if was_used:
            self._children.use(None)
        if self.is_over:
            return
        if self._used is None and self._loading is None and self._start_at == NEVER:
            now = time.monotonic()
            self._pause = next_pause(self._pause, now - template.ready_at)
            self._start_at = now + self._pause
        if was_used:
            next_one = "" if self._start_at == NEVER else f"; a new one in {self._pause:g} s"
            logger.error("the template process %s%s", how_it_ended(status), next_one)
        elif was_loading or template.failure:
            why = template.failure or f"its process {how_it_ended(status)}"
            goes_on = "" if self._used is None else ", and what was loaded before goes on"
            logger.error("the application cannot be loaded again%s: %s", goes_on, why)
