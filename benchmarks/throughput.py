"""How much: draining a backlog."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import floor
from benchmarks.figure import Figure, compared
from benchmarks.host import rate_between, room, worker_host
from benchmarks.tasks import app, nap
from benchmarks.turns import by_turns

BACKLOG = 300_000
BUSY_S = 2.0
THREADS = 16
"""How long workers are kept busy with tasks that take their time."""


@dataclass(frozen=True)
class Load:
    """A backlog, and who drains it."""

    type: str
    number: int
    processes: int
    threads: int = 1
    argument: float | None = None
    """What every task gets; without it each has its own number."""

    def ours(self) -> float:
        """Tasks per second of a worker host."""
        with room() as place:
            place.app()
            app.tasks[self.type].delay_many(self._calls())
            with worker_host(place, self.processes, self.threads):
                return rate_between(lambda: place.counted("completed", self.type), self.number)

    def bare(self) -> float:
        """Tasks per second of as many bare loops."""
        with room() as place:
            return floor.drain(place, self.number, self.processes, self.type, self.argument)

    def sleepers(self) -> float:
        """How often as many threads can wait for so long, with no tasks."""
        assert self.argument is not None
        return floor.sleepers(self.processes, self.threads, self.argument, BUSY_S)

    def _calls(self) -> Iterator[tuple[float]]:
        return ((number if self.argument is None else self.argument,) for number in range(self.number))


def drain(rounds: int) -> list[Figure]:
    """A backlog of no-op tasks, beside as many bare loops."""
    found = []
    for processes in (1, 2, 4):
        load = Load("noop", BACKLOG if processes > 1 else BACKLOG // 2, processes)
        rates = by_turns(rounds, {"ours": load.ours, "bare": load.bare})
        found.append(
            compared(
                f"no-op drain, {_processes(processes)}", "tasks/s", rates["ours"], rates["bare"], "bare loop",
                at_least=0.7 if processes == 2 else None,
            )
        )  # fmt: skip
    return found


def busy(rounds: int) -> list[Figure]:
    """A backlog of tasks that use the processor for 1 ms, beside as many bare loops."""
    load = Load("burn", round(2 * BUSY_S / 0.001), 2, argument=0.001)
    rates = by_turns(rounds, {"ours": load.ours, "bare": load.bare})
    return [compared("1 ms of CPU, 2 processes", "tasks/s", rates["ours"], rates["bare"], "bare loop")]


def _processes(number: int) -> str:
    return f"{number} process" + ("es" if number > 1 else "")


def waiting(rounds: int) -> list[Figure]:
    """Tasks that wait for 1, 10 and 100 ms, beside as many threads that do nothing else: the ideal."""
    processes, threads = 2, THREADS
    slots = f"{processes} × {threads} slots"
    found = []
    for ms in (1, 10):
        ideal = processes * threads / ms * 1000
        load = Load("sleep", round(ideal * BUSY_S), processes, threads, ms / 1000)
        rates = by_turns(rounds, {"ours": load.ours, "bare": load.sleepers})
        found.append(
            compared(
                f"{ms} ms of sleep, {slots}", "tasks/s", rates["ours"], rates["bare"], "bare sleep",
                at_least=0.95, more=f"; nominal {ideal:,.0f}/s",
            )
        )  # fmt: skip
    per_slot = [
        rate
        for _ in range(rounds)
        for rate in rates_of_slots(processes, threads, 0.1, round(processes * threads / 0.1 * BUSY_S))
    ]
    median = statistics.median(per_slot)
    told = f"ideal 10/s; slowest slot {min(per_slot):.2f}, {len(per_slot)} slots"
    found.append(
        Figure(f"100 ms of sleep, {slots}, each slot", median, "/s", told, median / 10, 0.95, samples=tuple(per_slot))
    )
    return found


def rates_of_slots(processes: int, threads: int, seconds: float, number: int) -> list[float]:
    """Tasks per second of each slot, from the start of its first task to the end of its last."""
    with room() as place:
        place.app()
        handles = nap.delay_many((seconds,) for _ in range(number))
        with worker_host(place, processes, threads):
            ran = [handle.get(timeout=60) for handle in handles]
    slots: dict[str, list[tuple[int, int]]] = {}
    for slot, begun, ended in ran:
        slots.setdefault(slot, []).append((begun, ended))
    return [
        len(times) / (max(ended for _, ended in times) - min(begun for begun, _ in times)) * 1e9
        for times in slots.values()
    ]
