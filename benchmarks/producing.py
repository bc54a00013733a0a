"""How much a producer can send, beside the same from bare loops: one at a time, from many at once, in bulk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import msgpack

from benchmarks import floor
from benchmarks.figure import Figure, compared, measured
from benchmarks.host import Room, room
from benchmarks.tasks import noop
from benchmarks.turns import by_turns
from distq.broker import keys, verbs
from distq.broker.connect import Wire
from distq.broker.scripts import script
from distq.message import head, new_ids

Work = Callable[[], object]

CALLS, BULK, MILLION = 5_000, 100_000, 1_000_000
THREADS, COROUTINES = 10, 100
LEAST_ROUNDS = 5
"""These rounds are short, and a median of few of them is left to chance."""


def produce(rounds: int) -> list[Figure]:
    """All of it."""
    rounds = max(rounds, LEAST_ROUNDS)
    return [*one_at_a_time(rounds), *together(rounds), *bulk(rounds), *growth(rounds), memory()]


def one_at_a_time(rounds: int) -> list[Figure]:
    """`.delay()` beside its own script through a raw socket, and beside redis-py's `rpush`."""
    found = by_turns(
        rounds,
        {
            "ours": lambda: _timed(_ready(lambda: _times(CALLS, lambda: noop.delay(1)))),
            "script": lambda: _timed(_raw_script),
            "rpush": lambda: _timed(lambda place: lambda: _times(CALLS, lambda: floor.rpush(place.client))),
        },
    )
    rates = {name: [CALLS / seconds for seconds, _ in times] for name, times in found.items()}
    cpu = {name: [spent / CALLS * 1e6 for _, spent in times] for name, times in found.items()}
    ours, script_alone, rpush = "delay, one at a time", "raw socket", "rpush"
    return [
        compared(ours, "calls/s", rates["ours"], rates["script"], script_alone, at_least=0.85),
        compared(ours, "calls/s", rates["ours"], rates["rpush"], rpush, at_least=1.0),
        compared("delay, CPU of the client", "µs", cpu["ours"], cpu["rpush"], rpush, at_most=0.75),
    ]


def together(rounds: int) -> list[Figure]:
    """`.delay()` from threads beside redis-py's `rpush` from threads; `adelay()` from coroutines beside one by one."""
    found = by_turns(
        rounds,
        {
            "threads": lambda: _timed(_ready(lambda: _in_threads(lambda: noop.delay(1)))),
            "rpush": lambda: _timed(lambda place: lambda: _in_threads(lambda: floor.rpush(place.client))),
            "coroutines": lambda: _timed(_ready(lambda: asyncio.run(_in_coroutines(COROUTINES)))),
            "one": lambda: _timed(_ready(lambda: asyncio.run(_in_coroutines(1)))),
        },
    )
    rates = {name: [CALLS / seconds for seconds, _ in times] for name, times in found.items()}
    threads, coroutines = f"delay, {THREADS} threads", f"adelay, {COROUTINES} coroutines"
    return [
        compared(threads, "calls/s", rates["threads"], rates["rpush"], f"rpush, {THREADS} threads", at_least=1.1),
        compared(coroutines, "calls/s", rates["coroutines"], rates["one"], "one at a time", at_least=4.0),
    ]


def bulk(rounds: int) -> list[Figure]:
    """`delay_many` beside a bare pipelined load of as many messages."""
    found = by_turns(
        rounds,
        {
            "ours": lambda: _timed(_ready(lambda: noop.delay_many((n,) for n in range(BULK)))),
            "bare": lambda: _timed(_bare_load),
        },
    )
    rates = {name: [BULK / seconds for seconds, _ in times] for name, times in found.items()}
    return [compared("delay_many", "calls/s", rates["ours"], rates["bare"], "bare load", at_least=0.6)]


def growth(rounds: int) -> list[Figure]:
    """`.delay()` into a broker that holds a million delayed and a million waiting tasks, beside an empty one."""
    with room() as empty, room() as full:
        full.app()
        noop.delay_many((n,) for n in range(MILLION))
        noop.options(delay="1d").delay_many((n,) for n in range(MILLION))

        def into(place: Room) -> float:
            place.app()
            noop.delay(1)
            begun = time.perf_counter()
            handles = [noop.delay(1) for _ in range(2 * CALLS)]
            spent = time.perf_counter() - begun
            _take_back(place, [handle.id for handle in handles])
            return 2 * CALLS / spent

        rates = by_turns(rounds, {"full": lambda: into(full), "empty": lambda: into(empty)})
    what = f"delay, with {MILLION:,} delayed and {MILLION:,} waiting"
    return [compared(what, "calls/s", rates["full"], rates["empty"], "empty broker", at_least=0.9)]


def memory() -> Figure:
    """Bytes in the broker per waiting task."""
    with room() as place:
        place.app()
        noop.delay(0)
        before = place.client.info("memory")["used_memory"]
        for n in range(BULK):
            noop.delay(n)
        spent = (place.client.info("memory")["used_memory"] - before) / BULK
    return measured("memory of the broker per waiting task", "bytes", [spent], f"{BULK:,} waiting", at_most=170)


# -- what is timed ----------------------------------------------------------------------------------------------------


def _timed(prepare: Callable[[Room], Work]) -> tuple[float, float]:
    """Seconds, and seconds of this process's CPU, of what was prepared on a fresh broker."""
    with room() as place:
        work = prepare(place)
        begun, used = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - begun, time.process_time() - used


def _ready(work: Work) -> Callable[[Room], Work]:
    """What the application does, when it has its connection and the broker its script."""

    def prepare(place: Room) -> Work:
        place.app()
        noop.delay(1)
        return work

    return prepare


def _take_back(place: Room, ids: list[str]) -> None:
    """The newest tasks go: so each round begins with as many as the first, and with memory that was used before."""
    prefix = keys.prefix("bench", "default")
    place.client.hdel(keys.key(prefix, "TASKS"), *ids)
    place.client.ltrim(keys.key(prefix, "QUEUE", "default"), 0, -len(ids) - 1)


def _times(number: int, call: Callable[[], object]) -> None:
    for _ in range(number):
        call()


def _in_threads(call: Callable[[], object]) -> None:
    threads = [threading.Thread(target=_times, args=(CALLS // THREADS, call)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _in_coroutines(number: int) -> None:
    async def some() -> None:
        for _ in range(CALLS // number):
            await noop.adelay(1)

    await asyncio.gather(*(some() for _ in range(number)))


# -- what stands beside it --------------------------------------------------------------------------------------------


def _raw_script(place: Room) -> Work:
    """What `.delay()` sends, ready made, through a raw socket."""
    wire, message = Wire(place.url, timeout=10.0), head("noop", 1, 600) + msgpack.packb([[1]])
    front = verbs.enqueue_front(keys.prefix("bench", "default"), "noop", 1, b"")
    calls = [verbs.enqueue_one(front, id, message) for id in new_ids("default", CALLS)]
    wire.request(script("enqueue").load_command())
    return lambda: [wire.request(call) for call in calls]


def _bare_load(place: Room) -> Work:
    wire = Wire(place.url, timeout=10.0)
    return lambda: floor.load(wire, BULK)
