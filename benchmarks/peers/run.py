"""Measures all systems in turn, several times, and puts together what was found: a document of plain values, for JSON.

In each round every workload is measured for one system after another, beginning with another one each time, so that a
machine that becomes slower is slower for all of them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import redis

from benchmarks import machine
from benchmarks.peers import bare, workloads
from benchmarks.peers.install import Unavailable, install, versions
from benchmarks.peers.systems import System
from benchmarks.peers.workloads import Numbers, Scale, Sizes
from distq.errors import DistqError

FAILURES = (Unavailable, DistqError, redis.RedisError, OSError, ValueError)
Document = dict[str, Any]


class Run:
    """One run over some systems; `say` is told what happens."""

    def __init__(
        self, systems: Sequence[System], names: Sequence[str], scale: Scale, say: Callable[[str], None]
    ) -> None:
        self._names, self._scale, self._say = names, scale, say
        self._cores = int(machine.describe()["cores"])
        self._sizes: dict[str, Sizes] = {}
        self._numbers: dict[str, dict[str, list[float]]] = {}
        self._skipped: list[dict[str, str]] = []
        self._problems: list[dict[str, str]] = []
        self._loops: list[float] = []
        self._loads: list[float] = [machine.load()]
        self._systems = [system for system in systems if self._is_ready(system)]
        self._failed: dict[tuple[str, str], int] = {}

    def round(self, number: int) -> None:
        """Every workload of every system, once."""
        self._loops.append(machine.loop_ms())
        turn = number % max(1, len(self._systems))
        for name in self._names:
            self._say(f"round {number + 1}: {name}")
            self._note(bare.NAME, name, lambda name=name: bare.measure(name, self._scale, self._before()))  # type: ignore[misc]
            for system in self._systems[turn:] + self._systems[:turn]:
                if self._failed.get((system.key, name), 0) < 2:
                    self._note(system.key, name, lambda name=name, system=system: self._measure(name, system))  # type: ignore[misc]
        self._loads.append(machine.load())

    def document(self) -> Document:
        """All that was found."""
        return {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": {
                **machine.describe(),
                "loop_ms": [round(value, 1) for value in self._loops],
                "load": [round(value, 2) for value in self._loads],
            },
            "scale": asdict(self._scale),
            "bare": {"name": bare.NAME, "numbers": self._rounded(bare.NAME)},
            "systems": [
                {
                    "key": system.key,
                    "name": system.name,
                    "language": system.language,
                    "is_python_peer": system.is_python_peer,
                    "versions": versions(system),
                    "tuning": system.tuning,
                    "killed": system.killed,
                    "stores_results": system.stores_results,
                    "producers": system.producers,
                    "bulk": system.bulk,
                    "sizes": asdict(self._sizes[system.key]),
                    "numbers": self._rounded(system.key),
                }
                for system in self._systems
            ],
            "skipped": self._skipped,
            "problems": self._problems,
        }

    def _is_ready(self, system: System) -> bool:
        self._say(f"preparing {system.name}")
        try:
            install(system)
            self._sizes[system.key] = workloads.estimate(system, self._scale)
        except FAILURES as error:
            self._say(f"{system.name} is left out: {error}")
            self._skipped.append({"name": system.name, "why": str(error)})
            return False
        return True

    def _measure(self, name: str, system: System) -> Numbers:
        return workloads.ALL[name](system, self._sizes[system.key], self._scale, self._cores)

    def _note(self, key: str, name: str, measure: Callable[[], Numbers]) -> None:
        try:
            found = measure()
        except FAILURES as error:
            self._say(f"{key}, {name}: {error}")
            self._problems.append({"system": key, "workload": name, "why": str(error)})
            self._failed[(key, name)] = self._failed.get((key, name), 0) + 1
            return
        for metric, value in found.items():
            self._numbers.setdefault(key, {}).setdefault(metric, []).append(value)

    def _before(self) -> Numbers:
        return {metric: values[-1] for metric, values in self._numbers.get(bare.NAME, {}).items()}

    def _rounded(self, key: str) -> dict[str, list[float]]:
        return {
            metric: [round(value, 1 if value >= 100 else 3) for value in values]
            for metric, values in self._numbers.get(key, {}).items()
        }
