"""The faults of the storm. Each is begun, and returns when and how it is to be undone; two lanes at the same time: one
for hosts and producers, one for the broker."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.evidence import Fault
from tests.chaos.stage import LEASE_S, Stage, Worker
from tests.support.host import children_of

Undo = Callable[[], None]
Begun = tuple[float, Undo]
"""After how many seconds it is undone, and how."""

LATE_S = 2 * LEASE_S
"""For so long after a stop or a cut a lease may be lost because of it."""


class Faults:
    """Chooses faults, and keeps a record of them."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage, self._chance = stage, chance
        self.record: list[Fault] = []

    def choose(self, weights: dict[str, int]) -> str:
        return self._chance.choices(list(weights), list(weights.values()))[0]

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
        self._kill(self._note("kill child", host=worker.name, pid=self._chance.choice(children)))
        return 0, _nothing

    def _kill(self, fault: Fault) -> None:
        assert fault.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(fault.pid, signal.SIGKILL)
        fault.ended = time.monotonic() + 0.1

    def _kill_template(self) -> Begun | None:
        if (worker := self._worker()) is None or not (template := children_of(worker.host.supervisor)):
            return None
        fault = self._note("kill template", host=worker.name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(min(template), signal.SIGKILL)
        fault.ended = time.monotonic() + 0.1
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
        fault = self._note("term", host=worker.name)
        fault.ended = fault.begun  # explains nothing
        return 0, _nothing

    def _stop_child(self) -> Begun | None:
        """Its supervisor goes on renewing the lease: it explains nothing."""
        if (worker := self._worker()) is None or not (children := _children(worker)):
            return None
        victim = self._chance.choice(children)
        fault = self._note("stop child", host=worker.name, pid=victim)
        _send(victim, signal.SIGSTOP)

        def undo() -> None:
            _send(victim, signal.SIGCONT)
            fault.ended = fault.begun

        return self._chance.uniform(0.2, 2.0), undo

    def _stop_host_shortly(self) -> Begun | None:
        return self._stop(0.3 * LEASE_S, "stop host for less than a lease")

    def _stop_host_for_long(self) -> Begun | None:
        return self._stop(3.0 * LEASE_S, "stop host for longer than a lease")

    def _stop(self, seconds: float, kind: str) -> Begun | None:
        if (worker := self._worker()) is None:
            return None
        fault = self._note(kind, host=worker.name, reach=LATE_S if seconds > LEASE_S else 0.0)
        worker.host.send_all(signal.SIGSTOP)

        def undo() -> None:
            with contextlib.suppress(ProcessLookupError):
                worker.host.send_all(signal.SIGCONT)
            self._over(fault)
            if seconds < LEASE_S:
                fault.ended = fault.begun

        return seconds, undo

    def _kill_producer(self) -> Begun | None:
        producer = self._chance.choice(self._stage.producers)
        fault = self._note("kill producer", pid=producer.process.pid)
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
        fault = self._note(kind)
        self._stage.room.redis.execute_command(*command)
        fault.ended = fault.begun  # explains nothing
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


def _children(worker: Worker) -> list[int]:
    return sorted(child for template in children_of(worker.host.supervisor) for child in children_of(template))


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _nothing() -> None:
    return


ON_HOSTS = {
    "kill child": 8, "kill template": 2, "kill supervisor": 3, "kill host": 3, "term": 4, "stop child": 4,
    "stop host shortly": 3, "stop host for long": 2, "kill producer": 1,
}  # fmt: skip
ON_BROKER = {
    "restart broker": 2, "kill broker": 2, "stop broker": 2, "client kill": 4, "client pause": 2, "script flush": 3,
    "full": 2, "read only": 2,
}  # fmt: skip
