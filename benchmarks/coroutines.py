"""How much: coroutines beside plain tasks, and beside bare event loops."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from typing import Any

from benchmarks import loop_tasks
from benchmarks.figure import Figure, compared
from benchmarks.host import rate_between, room, worker_host
from benchmarks.throughput import BACKLOG, BUSY_S, Load
from benchmarks.turns import by_turns
from distq.worker.loop import loop_factory

PROCESSES, SLOTS, SLEEP_S = 2, 500, 0.1


def coroutines(rounds: int) -> list[Figure]:
    """No-op coroutines beside plain no-ops; coroutines that sleep beside as many of bare event loops."""
    plain = Load("noop", BACKLOG, PROCESSES)
    rates = by_turns(
        rounds,
        {
            "ours": lambda: drain("noop", BACKLOG),
            "mixed": lambda: drain("noop", BACKLOG // 2, BENCH_MIXED="1"),
            "plain": plain.ours,
        },
    )
    ideal = PROCESSES * SLOTS / SLEEP_S
    rested = by_turns(rounds, {"ours": lambda: drain("sleep", round(ideal * 3 * BUSY_S), SLEEP_S), "bare": sleepers})
    slots = f"{PROCESSES} × {SLOTS}"
    return [
        compared(f"no-op coroutines, {slots}", "tasks/s", rates["ours"], rates["plain"], "plain no-op", at_least=0.6),
        compared("the same beside plain types in one queue", "tasks/s", rates["mixed"], rates["plain"], "plain no-op"),
        compared(
            f"100 ms of asyncio.sleep, {slots}", "tasks/s", rested["ours"], rested["bare"], "bare loops",
            at_least=0.95, more=f"; nominal {ideal:,.0f}/s",
        ),
    ]  # fmt: skip


def drain(type: str, number: int, argument: float | None = None, **settings: str) -> float:
    """Tasks per second of a worker host."""
    with room() as place:
        loop_tasks.app.rebind(place.url)
        if settings:  # else the backlog is older than the lanes of its types, and moves there first
            with worker_host(place, 1, 1, "benchmarks.loop_tasks:app", DISTQ_COROUTINES="1", **settings):
                pass
        loop_tasks.app.tasks[type].delay_many((n if argument is None else argument,) for n in range(number))
        settings["DISTQ_COROUTINES"] = str(SLOTS)
        with worker_host(place, PROCESSES, 1, "benchmarks.loop_tasks:app", **settings):
            return rate_between(lambda: place.counted("completed", type, "loops"), number)


def sleepers() -> float:
    """How often per second as many coroutines of bare event loops can sleep for so long: the ideal of this machine."""
    context = multiprocessing.get_context("fork")
    rates: Any = context.Array("d", PROCESSES)

    def run(index: int) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            rates[index] = runner.run(_sleep())

    children = [context.Process(target=run, args=(index,)) for index in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return float(sum(rates))


async def _sleep() -> float:
    begun = time.monotonic()

    async def rest() -> int:
        number = 0
        while time.monotonic() < begun + BUSY_S:
            await asyncio.create_task(asyncio.sleep(SLEEP_S))
            number += 1
        return number

    numbers = await asyncio.gather(*[rest() for _ in range(SLOTS)])
    return sum(numbers) / (time.monotonic() - begun)
