"""A producer that does what it reads: `python -m benchmarks.peers.programs.driver PROGRAM`.

Each line of standard input is a JSON object, and is answered by one line:

    {"call": "enqueue", "task": "noop", "number": N, "producers": P}   {"seconds": …}   one after another, P at a time
    {"call": "bulk", "task": "noop", "number": N}                      {"seconds": …}   the call for many at once
    {"call": "pace", "gaps": [seconds, …]}                             {"sent": […]}    `stamp`, with pauses
    {"call": "value", "number": N}                                     {"value": N}     enqueues, waits for the result

A program has `enqueue(task, number)` and, where its system can, `bulk(task, numbers)` and `value(handle)`. Where the
system is made for coroutines they are coroutines, with a context manager `ready()`. So are the producers: else threads.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
import time
from typing import Any


def main() -> None:
    """Serves until the end of the input."""
    program: Any = importlib.import_module(f"benchmarks.peers.programs.{sys.argv[1]}")
    if inspect.iscoroutinefunction(program.enqueue):
        asyncio.run(_serve_coroutines(program))
    else:
        for line in sys.stdin:
            _answer(_do(program, json.loads(line)))


def _answer(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


def _do(program: Any, told: dict[str, Any]) -> dict[str, Any]:
    if told["call"] == "value":
        return {"value": program.value(program.enqueue("noop", told["number"]))}
    if told["call"] == "pace":
        sent = []
        for number, gap in enumerate(told["gaps"]):
            time.sleep(gap)
            sent.append(time.monotonic_ns())
            program.enqueue("stamp", number)
        return {"sent": sent}
    task, numbers = told["task"], range(told["number"])
    if told["call"] == "bulk":
        begun = time.perf_counter()
        program.bulk(task, numbers)
        return {"seconds": time.perf_counter() - begun}
    producers = told["producers"]

    def produce(mine: range) -> None:
        for number in mine:
            program.enqueue(task, number)

    threads = [threading.Thread(target=produce, args=(numbers[index::producers],)) for index in range(producers)]
    begun = time.perf_counter()
    if producers == 1:
        produce(numbers)
    else:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"seconds": time.perf_counter() - begun}


async def _serve_coroutines(program: Any) -> None:
    async with program.ready():
        while line := await asyncio.to_thread(sys.stdin.readline):
            _answer(await _do_coroutines(program, json.loads(line)))


async def _do_coroutines(program: Any, told: dict[str, Any]) -> dict[str, Any]:
    if told["call"] == "value":
        return {"value": await program.value(await program.enqueue("noop", told["number"]))}
    if told["call"] == "pace":
        sent = []
        for number, gap in enumerate(told["gaps"]):
            await asyncio.sleep(gap)
            sent.append(time.monotonic_ns())
            await program.enqueue("stamp", number)
        return {"sent": sent}
    task, numbers = told["task"], range(told["number"])
    if told["call"] == "bulk":
        begun = time.perf_counter()
        await program.bulk(task, numbers)
        return {"seconds": time.perf_counter() - begun}

    async def produce(mine: range) -> None:
        for number in mine:
            await program.enqueue(task, number)

    begun = time.perf_counter()
    if told["producers"] == 1:
        await produce(numbers)
    else:
        await asyncio.gather(*(produce(numbers[index :: told["producers"]]) for index in range(told["producers"])))
    return {"seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    main()
