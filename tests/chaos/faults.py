"""The faults of the storm. Each is begun, and returns when and how it is to be undone; three lanes at the same
time: for hosts and producers, for the network, for the broker."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from distq.errors import BrokerError
from tests.chaos.evidence import DYING_S, Fault
from tests.chaos.producer import KEYS
from tests.chaos.stage import LEASE_S, Stage, Worker
from tests.support import proxy
from tests.support.apps.storm import app
from tests.support.eventually import eventually
from tests.support.host import children_of

Undo = Callable[[], None]
Begun = tuple[float, Undo]
"""After how many seconds it is undone, and how."""

WORKER_OR_PRODUCERS = 0.7
PRODUCERS = "producers"
LATE_S = 2 * LEASE_S
"""For so long after a stop or a cut a lease may be lost because of it."""


class Faults:
    """Chooses faults, and keeps a record of them."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage, self._chance = stage, chance
        self.record: list[Fault] = []
        self._operators: list[Thread] = []

    def begin(self, kind: str) -> Begun | None:
        """None: there was nothing to do it to."""
        begin: Callable[[], Begun | None] = getattr(self, "_" + kind.replace(" ", "_").replace("-", "_"))
        return begin()

    def _note(self, kind: str, reach: float = 0.0, **what: Any) -> Fault:
        fault = Fault(kind, time.monotonic(), reach=reach, **what)
        self.record.append(fault)
        return fault

    def _over(self, fault: Fault) -> None:
        fault.ended = time.monotonic()

    def _worker(self) -> Worker | None:
        working = [worker for worker in self._stage.workers if not worker.is_over and worker.host.is_ready]
        return self._chance.choice(working) if working else None

    # -- hosts -------------------------------------------------------------------------------------------------------

    def _kill_child(self) -> Begun | None:
        if (worker := self._worker()) is None or not (children := _children(worker)):
            return None
        victim = self._chance.choice(children)
        fault = self._note("kill child", reach=DYING_S, host=worker.name, pid=victim)
        _send(victim, signal.SIGKILL)
        self._over(fault)
        return 0, _nothing

    def _kill_template(self) -> Begun | None:
        if (worker := self._worker()) is None or not (template := children_of(worker.host.supervisor)):
            return None
        fault = self._note("kill template", reach=DYING_S, host=worker.name)
        _send(min(template), signal.SIGKILL)
        self._over(fault)
        return 0, _nothing

    def _kill_supervisor(self) -> Begun | None:
        if (worker := self._worker()) is None:
            return None
        fault = self._note("kill supervisor", host=worker.name)
        worker.host.kill()
        self._over(fault)
        return 0, _nothing

    def _kill_host(self) -> Begun | None:
        """All its processes at once."""
        if (worker := self._worker()) is None:
            return None
        fault = self._note("kill host", host=worker.name)
        worker.host.send_all(signal.SIGKILL)
        worker.host.wait()
        self._over(fault)
        return 0, _nothing

    def _term(self) -> Begun | None:
        """A deployment: a new host, then TERM for the old one, which must end by itself."""
        if (worker := self._worker()) is None:
            return None
        self._stage.start_worker()
        self._stage.give_up(worker)
        worker.host.send(signal.SIGTERM)
        fault = self._note("term", host=worker.name, is_harmless=True)
        self._over(fault)
        return 0, _nothing

    def _stop_child(self) -> Begun | None:
        """Its supervisor goes on renewing the lease: it explains nothing."""
        if (worker := self._worker()) is None or not (children := _children(worker)):
            return None
        victim = self._chance.choice(children)
        fault = self._note("stop child", host=worker.name, pid=victim, is_harmless=True)
        _send(victim, signal.SIGSTOP)

        def undo() -> None:
            _send(victim, signal.SIGCONT)
            self._over(fault)

        return self._chance.uniform(0.2, 2.0), undo

    def _stop_host_shortly(self) -> Begun | None:
        return self._stop(0.3 * LEASE_S, "stop host for less than a lease")

    def _stop_host_for_long(self) -> Begun | None:
        return self._stop(3.0 * LEASE_S, "stop host for longer than a lease")

    def _stop(self, seconds: float, kind: str) -> Begun | None:
        if (worker := self._worker()) is None:
            return None
        fault = self._note(kind, host=worker.name, reach=LATE_S, is_harmless=seconds < LEASE_S)
        worker.host.send_all(signal.SIGSTOP)

        def undo() -> None:
            with contextlib.suppress(ProcessLookupError):
                worker.host.send_all(signal.SIGCONT)
            self._over(fault)

        return seconds, undo

    def _kill_producer(self) -> Begun | None:
        producer = self._chance.choice(self._stage.producers)
        fault = self._note("kill producer", pid=producer.process.pid, is_harmless=True)
        producer.process.kill()
        self._over(fault)
        return 0, _nothing

    # -- the broker --------------------------------------------------------------------------------------------------

    def _restart_broker(self) -> Begun | None:
        return self._restart(signal.SIGTERM, "broker restarted")

    def _kill_broker(self) -> Begun | None:
        return self._restart(signal.SIGKILL, "broker killed")

    def _restart(self, number: signal.Signals, kind: str) -> Begun:
        fault = self._note(kind, reach=LATE_S)
        self._stage.end_broker(number)

        def undo() -> None:
            self._stage.start_broker()
            self._over(fault)

        return self._chance.uniform(0.0, 3.0), undo

    def _stop_broker(self) -> Begun | None:
        fault, victim = self._note("broker stopped", reach=LATE_S), self._stage.broker.pid
        os.kill(victim, signal.SIGSTOP)

        def undo() -> None:
            os.kill(victim, signal.SIGCONT)
            self._over(fault)

        return self._chance.uniform(0.2, 4.0), undo

    def _client_kill(self) -> Begun | None:
        return self._at_once("connections killed", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _script_flush(self) -> Begun | None:
        return self._at_once("scripts flushed", "SCRIPT", "FLUSH")

    def _at_once(self, kind: str, *command: str) -> Begun:
        fault = self._note(kind, is_harmless=True)
        self._stage.room.redis.execute_command(*command)
        self._over(fault)
        return 0, _nothing

    def _client_pause(self) -> Begun | None:
        seconds = self._chance.uniform(0.2, 3.0)
        fault = self._note("broker paused", reach=LATE_S)
        self._stage.room.redis.execute_command("CLIENT", "PAUSE", str(round(seconds * 1000)))
        return seconds + 0.1, lambda: self._over(fault)

    def _full(self) -> Begun | None:
        return self._set("broker full", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))

    def _read_only(self) -> Begun | None:
        return self._set("broker read-only", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))

    def _set(self, kind: str, there: tuple[str, ...], back: tuple[str, ...]) -> Begun:
        fault = self._note(kind, reach=LATE_S)
        self._stage.room.redis.execute_command(*there)

        def undo() -> None:
            self._stage.room.redis.execute_command(*back)
            self._over(fault)

        return self._chance.uniform(0.5, 4.0), undo

    # -- the network -------------------------------------------------------------------------------------------------

    def _network(self, kind: str, *there: proxy.Fault, seconds: float, reach: float = 0.0) -> Begun | None:
        """Of one host or, as often, of the producers."""
        worker = self._worker() if self._chance.random() < WORKER_OR_PRODUCERS else None
        host = worker.name if worker else PRODUCERS
        fault = self._note(kind, reach=reach, host=host, is_harmless=not reach)
        network = worker.network if worker else self._stage.network
        network.set(*there)

        def undo() -> None:
            network.set()
            self._over(fault)

        return seconds, undo

    def _cut_replies(self) -> Begun | None:
        """What was asked is done, and nobody hears of it."""
        times = self._chance.randint(1, 5)
        return self._network("replies cut", proxy.CutReply(times=times), seconds=0.5)

    def _cut_requests(self) -> Begun | None:
        return self._network("requests cut", proxy.CutRequest(times=self._chance.randint(1, 5)), seconds=0.5)

    def _stall(self) -> Begun | None:
        """Silence in the middle of a reply."""
        fault = proxy.Stall(after=self._chance.randint(0, 9), times=3)
        return self._network("replies stall", fault, seconds=self._chance.uniform(0.2, 4.0), reach=LATE_S)

    def _chop(self) -> Begun | None:
        return self._network("replies in pieces", proxy.Chop(size=7, pause=0.001, times=50), seconds=2.0)

    def _blackhole_shortly(self) -> Begun | None:
        return self._network("partition for less than a lease", proxy.Blackhole(), seconds=0.3 * LEASE_S)

    def _blackhole_for_long(self) -> Begun | None:
        return self._network("partition for longer than a lease", proxy.Blackhole(), seconds=3 * LEASE_S, reach=LATE_S)

    def _no_connection(self) -> Begun | None:
        return self._network("connections refused", proxy.Refuse(), seconds=self._chance.uniform(0.2, 2.0))

    # -- those who operate it ----------------------------------------------------------------------------------------

    def _pause_queue(self) -> Begun | None:
        return self._operate(
            "queue paused",
            lambda: app.pause(queue="default"),
            lambda: app.resume(queue="default"),
        )

    def _pause_type(self) -> Begun | None:
        type = self._chance.choice(TYPES)
        return self._operate("type paused", lambda: app.pause(type=type), lambda: app.resume(type=type))

    def _pause_key(self) -> Begun | None:
        type = self._chance.choice(sorted(KEYED))
        key = f"k{self._chance.randrange(KEYS)}"
        return self._operate(
            "key paused",
            lambda: app.pause(type=type, key=key),
            lambda: app.resume(type=type, key=key),
        )

    def _lower_limit(self) -> Begun | None:
        return self._operate(
            "limit lowered",
            lambda: app.limits.set("few_at_once", max_running=1),
            lambda: app.limits.clear("few_at_once"),
        )

    def _limit_type(self) -> Begun | None:
        """One that has none."""
        return self._operate(
            "type limited",
            lambda: app.limits.set("noop", rate="200/s"),
            lambda: app.limits.clear("noop"),
        )

    def _operate(self, kind: str, order: Callable[[], object], take_back: Callable[[], object]) -> Begun | None:
        """In a thread, since the broker may not answer. It is taken back until that is done: else it would hold."""
        app.rebind(self._stage.url)
        fault, seconds = self._note(kind, is_harmless=True), self._chance.uniform(0.2, 2.0)

        def work() -> None:
            _is_done(order)
            time.sleep(seconds)
            eventually(lambda: _is_done(take_back), f"{kind}: taken back", within=120.0, every=0.2)
            self._over(fault)

        self._operators.append(Thread(target=work))
        self._operators[-1].start()
        return seconds, _nothing

    def end(self) -> None:
        """Waits until all that people have ordered is taken back."""
        for thread in self._operators:
            thread.join()


def _is_done(order: Callable[[], object]) -> bool:
    try:
        order()
    except BrokerError:
        return False
    return True


def _children(worker: Worker) -> list[int]:
    return sorted(child for template in children_of(worker.host.supervisor) for child in children_of(template))


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _nothing() -> None:
    return


TYPES = ("noop", "flaky", "few_at_once", "one_at_once", "in_order", "in_turn", "one_there", "budgeted", "batched")
KEYED = ("at_its_rate", "one_at_once", "in_order", "in_turn", "batched")

ON_OPERATORS = {"pause queue": 1, "pause type": 4, "pause key": 3, "lower limit": 2, "limit type": 1}
ON_HOSTS = {
    "kill child": 8, "kill template": 2, "kill supervisor": 3, "kill host": 3, "term": 4, "stop child": 4,
    "stop host shortly": 3, "stop host for long": 2, "kill producer": 1,
}  # fmt: skip
ON_NETWORK = {
    "cut replies": 5, "cut requests": 3, "stall": 3, "chop": 2, "blackhole shortly": 2, "blackhole for long": 2,
    "no connection": 2,
}  # fmt: skip
ON_BROKER = {
    "restart broker": 2, "kill broker": 2, "stop broker": 2, "client kill": 4, "client pause": 2, "script flush": 3,
    "full": 2, "read only": 2,
}  # fmt: skip
