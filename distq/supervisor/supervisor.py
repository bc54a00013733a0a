"""The supervisor: one thread, one selector loop. It never imports the application and no handler can block it.

Start: metrics port, board and pipes, template (imports the application), broker, children, "Worker started."
End, at the first INT or TERM: children stop fetching and finish within the grace period; what is not done is given
back; the link is emptied, the keeper's office handed on, the template ended. A second signal: at once.
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
from typing import Any

from distq.broker import cluster, keys, verbs
from distq.broker.health import warnings
from distq.broker.links import Links
from distq.config import WorkerConfig
from distq.errors import BrokerError, BrokerUnavailable
from distq.supervisor import host
from distq.supervisor.audit import Audit
from distq.supervisor.autopsy import how_it_ended
from distq.supervisor.children import Children
from distq.supervisor.control import Control
from distq.supervisor.crews import Crew, announced
from distq.supervisor.isolation import Isolation
from distq.supervisor.leases import Leases
from distq.supervisor.metrics import MetricsDoor
from distq.supervisor.partitions import Partitions, served
from distq.supervisor.processes import next_pause, prepare_to_fork, reap_orphans
from distq.supervisor.reports import Reports
from distq.supervisor.service import NEVER, Service, Site
from distq.supervisor.suspects import Suspects
from distq.supervisor.switches import Connection, switches
from distq.supervisor.template import Shared, announcement, dump_files, run_template
from distq.supervisor.timekeeper import Timekeeper
from distq.supervisor.watch import Watch
from distq.worker import board
from distq.worker.board import Board

logger = logging.getLogger("distq.supervisor")

LAST_WORDS_S = 5.0
"""How long the end waits for the broker to take back what is held; its lease does it otherwise."""

EXIT_FAILED, EXIT_USAGE, EXIT_NO_BROKER = 1, 2, 3

Say = Callable[[str], None]


class Supervisor:
    """One worker host. `run` returns the exit code."""

    def __init__(self, config: WorkerConfig, say: Say, complain: Say, metrics: MetricsDoor | None) -> None:
        self._config, self._say, self._complain, self._metrics = config, say, complain, metrics
        self._selector = selectors.DefaultSelector()
        self._identity = host.identify()
        self._signals: list[int] = []
        self._code: int | None = None
        self._is_ready = False
        self._give_up_at = self._kill_at = NEVER
        self._template_at, self._template_pause = NEVER, 0.0
        self._buffer = b""

    def run(self) -> int:
        """Works until it is told to end."""
        self._catch_signals()
        self._share()
        self._start_template()
        try:
            facts = self._await_ready()
            if facts is None:
                return EXIT_USAGE if self._code is None else self._code
            if not self._reach_broker(facts):
                return EXIT_NO_BROKER
            self._settle_in(facts)
            self._loop()
            self._finish()
            for number in (signal.SIGINT, signal.SIGTERM):  # it is over: another one must not spoil the exit code
                signal.signal(number, signal.SIG_IGN)
            return self._code or 0
        finally:
            self._end_template()
            if self._metrics:
                self._metrics.close()

    # -- start -------------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: self._signals.append(number))
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(writer)
        self._signal_pipe = reader
        self._selector.register(reader, selectors.EVENT_READ, self._wake)

    def _share(self) -> None:
        """What children and supervisor have in common is made before the first fork."""
        config = self._config
        slots, shared = config.slots, Board(config.slots, max(config.threads, config.coroutines))
        pokes = [os.pipe() for _ in range(slots)]
        bell = os.pipe()
        for reader, writer in (*pokes, bell):
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
        self._shared = Shared(
            shared, pokes, dump_files(slots), bell, host.new_host_name(), self._identity.to_text(), config
        )
        self._selector.register(bell[0], selectors.EVENT_READ, self._ring)

    def _start_template(self) -> None:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        prepare_to_fork()
        self._template = os.fork()
        if self._template == 0:
            ours.close()
            self._selector.close()
            if self._metrics:
                self._metrics.close()
            run_template(theirs, self._shared, parent)
        theirs.close()
        self._channel, self._template_ready = ours, NEVER

    def _await_ready(self) -> dict[str, Any] | None:
        """The application's facts; None after an error or a signal."""
        self._selector.register(self._channel, selectors.EVENT_READ, self._hear)
        self._facts: dict[str, Any] | None = None
        while self._facts is None and self._code is None:
            for key, _ in self._selector.select(1.0):
                key.data()
            if self._signals:
                self._code = 0
        return self._facts if self._code is None else None

    def _reach_broker(self, facts: dict[str, Any]) -> bool:
        try:
            self._first_facts = dict(facts)
            facts["queues"] = served(facts["url"], facts["name"], facts["queues"])
            prefixes = [keys.prefix(facts["name"], queue) for queue in facts["queues"]]
            needed = partial(self._config.connections, is_cluster=cluster.is_cluster(facts["url"]))
            for warning in warnings(facts["url"], prefixes, needed):
                logger.warning("%s", warning)
        except BrokerError as error:
            hint = "\nhint: start one, or name another with --broker or $DISTQ_BROKER; `distq dev` needs none"
            self._complain(f"{error}{hint if isinstance(error, BrokerUnavailable) else ''}")
            return False
        return True

    def _settle_in(self, facts: dict[str, Any]) -> None:
        config, shared = self._config, self._shared
        url, prefixes = facts["url"], [keys.prefix(facts["name"], queue) for queue in facts["queues"]]
        self._link = Links(url, "distq-supervisor", silence_s=5.0, pause_s=config.pause_s, on_return=self._returned)
        crews, groups = list(map(Crew.read, facts["crews"])), list(cluster.grouped(url, prefixes).values())
        self._site = site = Site(config, shared.board, self._link, shared.host, prefixes, facts["types"], crews, groups)
        self._control = Links(url, "distq-control", silence_s=site.block_s + 5.0)
        self._connections = [self._link, self._control]
        self._children = Children(site, self._channel, shared.pokes, shared.dumps)
        self._time, self._audit = Timekeeper(site), Audit(site)
        self._leases = Leases(site, self._keeper_is, self._children.poke_all)
        self._watch, self._reports = Watch(site), Reports(site)
        isolation = Isolation(site, self._children)
        self._services: list[Service] = [
            self._children, isolation, self._leases, self._time, self._watch, self._reports, self._audit,
            Partitions(site, facts["name"]),
        ]  # fmt: skip
        if config.most_alone:
            self._connections.append(Links(url, "distq-suspects", silence_s=site.block_s + 5.0))
            self._services.append(Suspects(site, self._children, self._connections[-1]))
        self._switches = switches(url, self._connections, self._children.poke_all)
        if not facts["types"]:
            logger.warning("application %s declares no task: are the modules that hold them imported?", facts["name"])
        logger.info("%s; %s", announcement(facts), announced(config, crews))
        for queues in groups:
            Control(site, queues, self._control, self._time, isolation).listen()
        for queue, prefix in enumerate(prefixes):
            self._link.submit(
                verbs.workers(prefix), partial(self._leases.find_orphans, queue, self._identity), lambda: None
            )
        if self._metrics:
            self._metrics.start(site, self._selector)
            self._services.append(self._metrics)

    def _returned(self) -> None:
        """It was away, and answers: connections of that time that nobody reset would be waited for in vain."""
        self._children.poke_all(b"m")
        for links in self._connections[1:]:
            links.connect_again()

    def _keeper_is(self, queue: int, host: str) -> None:
        """Who keeps the time of this queue: if nobody does, this supervisor offers itself."""
        self._audit.is_keeper[queue] = host == self._shared.host
        if not host:
            self._time.tick(queue)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            now = time.monotonic()
            for service in self._services:
                service.work(now)
            for link in self._links:
                link.work()
            self._watch_sockets()
            if self._children.is_ending and self._children.alive == 0:
                return
            if time.monotonic() >= self._give_up_at:
                self._give_everything_back()
            if time.monotonic() >= self._kill_at:  # the template does not report their deaths: it hangs
                self._kill_at = NEVER
                if self._template:
                    os.kill(self._template, signal.SIGKILL)
            if time.monotonic() >= self._template_at:
                self._replace_template()
            for key, _ in self._selector.select(self._pause()):
                key.data()
            self._say_when_ready()

    @property
    def _links(self) -> list[Connection]:
        return [*(link for links in self._connections for link in links.all), *self._switches]

    def _pause(self) -> float | None:
        due = min(
            self._give_up_at,
            self._kill_at,
            self._template_at,
            *(link.deadline() for link in self._links),
            *(service.deadline() for service in self._services),
        )
        return None if due == NEVER else max(0.0, due - time.monotonic())

    def _watch_sockets(self) -> None:
        """Registers the sockets of the links, which change when one connects again."""
        wanted: dict[int, Callable[[], None]] = {}
        links = self._links
        for link in links:
            if (number := link.fileno()) is not None and number >= 0:
                wanted[number] = link.hears
        for key in list(self._selector.get_map().values()):
            owner = getattr(getattr(key.data, "func", None), "__self__", None)
            if owner in links and wanted.pop(key.fd, None) != key.data:
                self._selector.unregister(key.fd)
        for number, readable in wanted.items():
            self._selector.register(number, selectors.EVENT_READ, readable)

    def _say_when_ready(self) -> None:
        if not self._is_ready and self._children.all_ready:
            self._is_ready = True
            self._say("Worker started. Waiting for tasks...")

    # -- what arrives ------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signal_pipe, 4096)
        if os.getpid() == 1:
            reap_orphans((self._template,))
        if not hasattr(self, "_children"):
            return
        while self._signals:
            self._obey(self._signals.pop(0))

    def _obey(self, number: int) -> None:
        """First INT or TERM: drain. Second: give everything back now."""
        if not self._children.is_ending:
            logger.info(
                "%s: finishing what runs, within %g s; a second signal ends at once",
                signal.Signals(number).name,
                self._config.grace_ms / 1000,
            )
            self._give_up_at = time.monotonic() + self._config.grace_ms / 1000
            self._children.end(time.monotonic())
        else:
            self._code = 128 + number
            self._give_everything_back()

    def _give_everything_back(self) -> None:
        running = [entry.decode("utf-8", "replace") for slot in self._shared.board.slots for entry in slot.running()]
        logger.warning("giving back what is not done: %s", ", ".join(running) or "nothing runs")
        self._give_up_at, self._kill_at = NEVER, time.monotonic() + LAST_WORDS_S
        self._shared.board.head[board.ORDER] = board.QUIT
        self._children.kill_all()

    def _ring(self) -> None:
        """A child has registered ("r"), begun a batch of several ("b"), or says how far a task is ("p")."""
        with contextlib.suppress(BlockingIOError):
            rung = os.read(self._shared.bell[0], 4096)
            if b"b" in rung:
                self._watch.ring()
            if b"p" in rung:
                self._reports.ring()

    def _hear(self) -> None:
        """Lines from the template."""
        try:
            data = self._channel.recv(65536)
        except ConnectionError:  # it died with an order unread
            data = b""
        if not data:
            self._template_is_gone()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "ready" in message:
                self._template_is_ready(message["ready"])
            elif "failed" in message:
                self._template_failed(message["failed"])
            elif "forked" in message:
                self._children.forked(message["forked"], message["pid"])
            elif "exited" in message:
                self._children.exited(message["exited"], message["status"], message["rss"])

    def _template_is_ready(self, facts: dict[str, Any]) -> None:
        """It has imported the application; a later one must have found the same, except for the tasks."""
        self._template_ready = time.monotonic()
        if not hasattr(self, "_children"):
            self._facts = facts
            return
        if any(facts[name] != self._first_facts[name] for name in ("name", "url", "queues")):
            logger.error("the application has another name, broker or queues now: this host ends, start it again")
            self._obey(signal.SIGTERM)
            self._code = EXIT_FAILED
            return
        self._site.types, self._site.crews = facts["types"], list(map(Crew.read, facts["crews"]))
        self._children.use(self._channel)

    def _template_failed(self, why: str) -> None:
        if hasattr(self, "_children"):
            logger.error("the application cannot be loaded again: %s", why)
        else:
            self._complain(why)
            self._code = EXIT_USAGE

    def _template_is_gone(self) -> None:
        """All children are gone with it. While running, a new one is started; before that, it is an error."""
        self._selector.unregister(self._channel)
        self._channel.close()
        self._buffer = b""
        _, status = os.waitpid(self._template, 0)
        self._template = 0
        if not hasattr(self, "_children"):
            if self._code is None:
                self._complain(f"the application could not be loaded: its process {how_it_ended(status)}")
                self._code = EXIT_USAGE
            return
        self._children.all_exited()
        if not self._children.is_ending:
            now = time.monotonic()
            self._template_pause = next_pause(self._template_pause, now - self._template_ready)
            self._template_at = now + self._template_pause
            logger.error("the template process %s; a new one in %g s", how_it_ended(status), self._template_pause)

    def _replace_template(self) -> None:
        self._template_at = NEVER
        if not self._children.is_ending:
            self._start_template()
            self._selector.register(self._channel, selectors.EVENT_READ, self._hear)

    # -- end ---------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Empties the link and hands on the keeper's office."""
        for prefix in self._site.prefixes:
            self._link.submit(verbs.resign(prefix, self._shared.host), lambda keeper: None, lambda: None)
        self._control.close()
        give_up = time.monotonic() + LAST_WORDS_S
        while not self._link.is_idle and time.monotonic() < give_up:
            for link in self._links:
                link.work()
            self._watch_sockets()
            for key, _ in self._selector.select(0.05):
                key.data()
        if not self._link.is_idle:
            logger.warning("the broker did not answer; what was held comes back when its lease ends")
        self._link.close()

    def _end_template(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.close()
        if self._template:
            with contextlib.suppress(OSError):
                os.kill(self._template, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._template, 0)
