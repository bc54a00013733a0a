"""The supervisor: one thread, one selector loop. It never imports the application and no handler can block it.

Start: metrics port, board and pipes, template (imports the application), broker, children, "Worker started."
End, at the first INT or TERM: children stop fetching and finish within the grace period; what is not done is given
back; the link is emptied, the keeper's office handed on, the template ended. A second signal: at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from distq.broker import cluster, keys, verbs
from distq.broker.health import at_start
from distq.broker.links import Links
from distq.config import WorkerConfig
from distq.errors import BrokerError, BrokerUnavailable
from distq.supervisor import host, partitions
from distq.supervisor.audit import Audit
from distq.supervisor.burst import Burst
from distq.supervisor.children import Children
from distq.supervisor.condition import Condition
from distq.supervisor.control import Control
from distq.supervisor.crews import Crew, announced
from distq.supervisor.isolation import Isolation
from distq.supervisor.leases import Leases
from distq.supervisor.limits import Limits
from distq.supervisor.metrics import MetricsDoor
from distq.supervisor.notify import Notify
from distq.supervisor.processes import reap_orphans
from distq.supervisor.reports import Reports
from distq.supervisor.rollups import RollUps
from distq.supervisor.schedules import Schedules
from distq.supervisor.service import NEVER, Selector, Service, Site
from distq.supervisor.signals import came_through, catch_signals
from distq.supervisor.sources import Sources
from distq.supervisor.stacks import Stacks
from distq.supervisor.succession import Succession
from distq.supervisor.suspects import Suspects
from distq.supervisor.switches import Connection, switches
from distq.supervisor.template import Shared, announcement, dump_files
from distq.supervisor.templates import Templates
from distq.supervisor.timekeeper import Timekeeper
from distq.supervisor.watch import Watch
from distq.worker import board

logger = logging.getLogger("distq.supervisor")

LAST_WORDS_S = 5.0
"""How long the end waits for the broker to take back what is held; its lease does it otherwise."""

EXIT_FAILED, EXIT_USAGE, EXIT_NO_BROKER = 1, 2, 3
START_AGAIN = -1  # no exit code: the program is to be executed once more

Say = Callable[[str], None]


class Supervisor:
    """One worker host. `run` returns the exit code."""

    def __init__(self, config: WorkerConfig, say: Say, complain: Say, metrics: MetricsDoor | None) -> None:
        self._config, self._say, self._complain, self._selector = config, say, complain, Selector()
        self._metrics = metrics and metrics.opened(self._selector)
        self._identity = host.identify()
        self._signals: list[int] = []
        self._code: int | None = None
        self._sources = Sources(self._selector, self._load_afresh)
        self._is_ready, self._notify = False, Notify()
        self._connections: list[Links] = []
        self._switches: list[Connection] = []
        self._give_up_at = self._kill_at = NEVER

    def run(self) -> int:
        """Works until it is told to end."""
        self._signal_pipe = catch_signals()
        self._selector.register(self._signal_pipe, selectors.EVENT_READ, self._wake)
        if self._config.reload and (why := self._sources.start(self._config.import_path, self._selector.close)):
            self._complain(why)
            return EXIT_USAGE
        self._share()
        self._templates.start()
        try:
            facts = self._await_ready()
            if facts is None:
                return self._code or 0
            if not self._reach_broker(facts):
                return EXIT_NO_BROKER
            self._settle_in(facts)
            self._loop()
            self._finish()
            for number in (signal.SIGINT, signal.SIGTERM):  # it is over: another one must not spoil the exit code
                signal.signal(number, signal.SIG_IGN)
            return self._code or 0
        finally:
            self._sources.end()
            self._templates.end()
            if self._metrics:
                self._metrics.close()

    # -- start -------------------------------------------------------------------------------------------------------

    def _share(self) -> None:
        """What children and supervisor have in common is made before the first fork."""
        config = self._config
        slots, shared = config.slots, board.Board(config.slots, max(config.threads, config.coroutines))
        pokes = [os.pipe() for _ in range(slots)]
        bell = os.pipe()
        for reader, writer in (*pokes, bell):
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
        self._shared = Shared(
            shared, pokes, dump_files(slots), bell, host.new_host_name(), self._identity.to_text(), config
        )
        self._selector.register(bell[0], selectors.EVENT_READ, self._ring)
        self._templates = Templates(self._shared, self._selector, self._in_the_fork)

    def _in_the_fork(self) -> None:
        """In a new template: what is the supervisor's alone. The numbers stay taken, since objects here would close
        them again."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for link in self._links:
            if (number := link.fileno()) is not None and number >= 0:
                os.dup2(nowhere, number)
        os.close(nowhere)
        self._selector.close()
        if self._metrics:
            self._metrics.close()

    def _await_ready(self) -> dict[str, Any] | None:
        """The application's facts; None after an error or a signal."""
        while self._templates.facts is None and self._code is None:
            if self._templates.failure:
                self._complain(self._templates.failure)
                if not self._config.reload:
                    self._code = EXIT_USAGE
                    return None
                logger.warning("Waiting for a change of the source (Ctrl-C ends)")
                self._templates.failure = ""
            for key, _ in self._selector.select(1.0):
                key.data()
            if signal.SIGHUP in self._signals:  # what is being imported may be old
                self._signals = [number for number in self._signals if number != signal.SIGHUP]
                self._load_afresh("SIGHUP")
            if {signal.SIGINT, signal.SIGTERM} & set(self._signals):
                self._code = 0
        return self._templates.facts if self._code is None else None

    def _reach_broker(self, facts: dict[str, Any]) -> bool:
        try:
            self._first_facts = dict(facts)
            facts["queues"] = partitions.served(facts["url"], facts["name"], facts["queues"])
            prefixes = [keys.prefix(facts["name"], queue) for queue in facts["queues"]]
            needed = partial(self._config.connections, is_cluster=cluster.is_cluster(facts["url"]))
            outset = at_start(facts["url"], prefixes, needed)
        except BrokerError as error:
            hint = "\nhint: start one, or name another with --broker or $DISTQ_BROKER; `distq dev` brings its own"
            self._complain(f"{error}{hint if isinstance(error, BrokerUnavailable) else ''}")
            return False
        for warning in outset.warnings:
            logger.warning("%s", warning)
        for prefix, why in outset.broken.items():
            logger.error("queue %s is left alone until this host is started again: %s", keys.queue_of(prefix), why)
        facts["queues"] = [keys.queue_of(prefix) for prefix in prefixes if prefix not in outset.broken]
        facts["server"] = outset.server
        if not facts["queues"]:
            self._complain("no queue is left that this host could serve")
        return bool(facts["queues"])

    def _settle_in(self, facts: dict[str, Any]) -> None:
        config, shared = self._config, self._shared
        url, prefixes = facts["url"], [keys.prefix(facts["name"], queue) for queue in facts["queues"]]
        self._link = Links(url, "distq-supervisor", silence_s=5.0, pause_s=config.pause_s, on_return=self._returned)
        crews, groups = list(map(Crew.read, facts["crews"])), list(cluster.grouped(url, prefixes).values())
        self._site = site = Site(
            config, shared.board, self._link, shared.host, prefixes, facts["types"], crews, groups, facts["names"],
            facts["server"],
        )  # fmt: skip
        self._control = Links(url, "distq-control", silence_s=site.block_s + 5.0)
        self._connections = [self._link, self._control]
        self._children = Children(site, shared.pokes, shared.dumps)
        self._succession = Succession(site, self._children)
        self._templates.serve(self._children, self._accepts)
        self._stacks = Stacks(site, self._children, shared.dumps)
        condition = Condition(site, self._children, self._templates, self._connections)
        self._notify.serve(condition, lambda: not (self._templates.is_loading or self._succession.is_due))
        self._time, self._audit, self._watch, self._reports = Timekeeper(site), Audit(site), Watch(site), Reports(site)
        self._schedules = Schedules(site, facts["schedules"], self._time.tick)
        self._time.fire = self._schedules.fire
        self._leases = Leases(site, self._keeper_is, self._children.poke_all)
        self._limits = Limits(site, self._children, self._watch, self._succession.replace)
        isolation = Isolation(site, self._children)
        self._services: list[Service] = [
            self._templates, self._succession, self._children, isolation, self._leases, self._watch,
            self._reports, self._audit, self._limits, self._stacks, self._notify, RollUps(site),
            self._schedules, self._time, partitions.Partitions(site, facts["name"]),
        ]  # fmt: skip
        if config.burst:
            self._services.append(Burst(site, self._children, self._drain))
        if config.most_alone:
            self._connections.append(Links(url, "distq-suspects", silence_s=site.block_s + 5.0))
            self._services.append(Suspects(site, self._children, self._connections[-1]))
        self._switches = switches(url, self._connections, self._children.poke_all)
        if not facts["types"]:
            logger.warning("application %s declares no task: are the modules that hold them imported?", facts["name"])
        logger.info("%s; %s", announcement(facts), announced(config, crews))
        for queues in groups:
            Control(site, queues, self._control, self._time, isolation, self._limits).listen()
        for queue, prefix in enumerate(prefixes):
            self._link.submit(
                verbs.workers(prefix), partial(self._leases.find_orphans, queue, self._identity), lambda: None
            )
        if self._metrics:
            self._metrics.start(condition)
            self._services.append(self._metrics)

    def _returned(self) -> None:
        """It was away, and answers: connections of that time that nobody reset would be waited for in vain."""
        self._children.poke_all(b"m")
        for links in self._connections[1:]:
            links.connect_again()

    def _keeper_is(self, queue: int, host: str, now_ms: int) -> None:
        """Who keeps the time of this queue: if nobody does, this supervisor offers itself."""
        self._audit.is_keeper[queue] = self._schedules.is_keeper[queue] = host == self._shared.host
        self._schedules.hear(queue, now_ms)
        if not host:
            self._time.tick(queue)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        self._wake()  # what came during the start
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
                self._templates.kill_all()
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
            self._notify.ready()
            self._say("Worker started. Waiting for tasks...")

    # -- what arrives ------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._signals += came_through(self._signal_pipe)
        if os.getpid() == 1:
            reap_orphans((*self._templates.pids, self._sources.pid))
        if not hasattr(self, "_children"):
            return
        while self._signals:
            self._obey(self._signals.pop(0))

    def _obey(self, number: int) -> None:
        """First INT or TERM: drain. Second: give everything back now. The others: guide/workers.md."""
        if number == signal.SIGUSR1:
            self._stacks.ask()
        elif number in (signal.SIGTSTP, signal.SIGCONT):
            self._be_quiet(number == signal.SIGTSTP)
        elif number == signal.SIGHUP:
            self._load_afresh("SIGHUP")
        elif not self._children.is_ending:
            self._drain(signal.Signals(number).name)
        else:
            self._code = 128 + number
            self._give_everything_back()

    def _load_afresh(self, why: str) -> None:
        """In a new template. Nothing changes if it cannot."""
        if not self._templates.is_over:
            logger.info("%s: loading the application afresh", why)
            if self._is_ready:
                self._notify.reloading()
            self._templates.start()

    def _drain(self, why: str) -> None:
        grace_s = self._config.grace_ms / 1000
        logger.info("%s: finishing what runs, within %g s; a second signal ends at once", why, grace_s)
        self._give_up_at = time.monotonic() + grace_s
        self._notify.stopping()
        self._templates.stop()
        self._children.end(time.monotonic())

    def _be_quiet(self, is_quiet: bool) -> None:
        if self._children.is_quiet != is_quiet and not self._children.is_ending:
            said = "SIGTSTP: finishing what runs, and starting nothing until SIGCONT"
            logger.info("%s", said if is_quiet else "SIGCONT: going on")
            self._children.quiet(is_quiet)

    def _give_everything_back(self) -> None:
        running = [entry.decode("utf-8", "replace") for slot in self._shared.board.slots for entry in slot.running()]
        logger.warning("giving back what is not done: %s", ", ".join(running) or "nothing runs")
        self._give_up_at, self._kill_at = NEVER, time.monotonic() + LAST_WORDS_S
        self._shared.board.order(board.QUIT)
        self._children.kill_all()

    def _ring(self) -> None:
        """A child has registered ("r"), begun a batch ("b"), says how far a task is ("p"), or has a new limit ("l")."""
        with contextlib.suppress(BlockingIOError):
            rung = os.read(self._shared.bell[0], 4096)
            if b"b" in rung:
                self._watch.ring()
            if b"p" in rung:
                self._reports.ring()
            if b"l" in rung:
                self._limits.ring()

    def _accepts(self, facts: dict[str, Any]) -> str:
        """A template has imported the application afresh. It must have the same name and broker; a queue that is new
        is not served until this host is started again."""
        what = partitions.unlike(self._first_facts, facts, self._config.reload)
        if what and self._config.reload:
            self._drain(f"the application: {what}: this host starts again")
            self._code = START_AGAIN
        elif what and not self._templates.is_in_use:
            logger.error("the application: %s: this host ends, start it again", what)
            self._obey(signal.SIGTERM)
            self._code = EXIT_FAILED
        if what:
            return f"{what}, for which this host has to be started again"
        partitions.compare(self._site.queues, self._first_facts["queues"], facts["queues"])
        was_in_use = self._templates.is_in_use
        site, crews = self._site, list(map(Crew.read, facts["crews"]))
        site.former += [crew for crew in site.crews if crew not in crews]
        site.types, site.crews, site.names = facts["types"], crews, facts["names"]
        self._children.man()
        self._schedules.use(facts["schedules"])
        if was_in_use:
            logger.info("%s; the processes are replaced, one after the other", announcement(facts))
            self._succession.replace_all()
        return ""

    # -- end ---------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Each service has its last word: schedules before the keeper's office; then the link is emptied."""
        for service in self._services:
            service.finish()
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
