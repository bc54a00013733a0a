"""How much a producer can send, beside the same bytes from bare loops: one at a time, from many at once, in bulk."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable

import msgpack

from benchmarks import floor
from benchmarks.figure import Figure
from benchmarks.host import Room, room
from benchmarks.tasks import noop
from distq.broker import keys, verbs
from distq.broker.connect import Wire
from distq.broker.scripts import encode_items, script
from distq.message import head, new_id

CALLS, BULK = 5_000, 100_000
THREADS, COROUTINES = 10, 100
LEAST_ROUNDS = 5

Samples = dict[str, list[float]]


def by_turns(rounds: int, place: Room, ways: dict[str, Callable[[], int]]) -> tuple[Samples, Samples]:
    """Calls per second, and µs of this process's CPU per call, of each way; `ways` do their calls and say how many."""
    rates: Samples = {name: [] for name in ways}
    cpu: Samples = {name: [] for name in ways}
    for _ in range(max(LEAST_ROUNDS, rounds)):
        for name, way in ways.items():
            place.client.flushall()
            begun, used = time.perf_counter(), time.process_time()
            number = way()
            rates[name].append(number / (time.perf_counter() - begun))
            cpu[name].append((time.process_time() - used) / number * 1e6)
    return rates, cpu


def ratio(samples: Samples, mine: str, other: str) -> float:
    """The median of what stood side by side."""
    return statistics.median(a / b for a, b in zip(samples[mine], samples[other], strict=True))


def beside(rates: Samples, mine: str, other: str, what: str, least: float) -> Figure:
    """A rate, with the one that it is compared with."""
    rate, bare, times = statistics.median(rates[mine]), statistics.median(rates[other]), ratio(rates, mine, other)
    return Figure(what, rate, "calls/s", f"{other} {bare:,.0f}/s: {times:.2f} ×", times, at_least=least)


def one_at_a_time(rounds: int) -> list[Figure]:
    """`.delay()` beside its own script through a raw socket, and beside redis-py's `rpush`."""
    with room() as place:
        place.app()
        wire = Wire(place.url, timeout=10.0)
        rates, cpu = by_turns(
            rounds,
            place,
            {
                "delay": lambda: times(CALLS, lambda: noop.delay(1)),
                "raw script": lambda: raw_script(wire, CALLS),
                "rpush": lambda: times(CALLS, lambda: floor.rpush(place.client)),
            },
        )
    spent = ratio(cpu, "delay", "rpush")
    return [
        beside(rates, "delay", "raw script", ".delay(), one at a time", 0.85),
        beside(rates, "delay", "rpush", ".delay(), one at a time", 1.0),
        Figure(
            ".delay(), client CPU", statistics.median(cpu["delay"]), "µs", f"{spent:.2f} × rpush's", spent, at_most=0.75
        ),
    ]


def together(rounds: int) -> list[Figure]:
    """`.delay()` from threads beside redis-py's `rpush` from threads; `adelay()` from coroutines beside one by one."""
    with room() as place:
        place.app()
        rates, _ = by_turns(
            rounds,
            place,
            {
                "delay": lambda: in_threads(lambda: noop.delay(1)),
                f"rpush × {THREADS}": lambda: in_threads(lambda: floor.rpush(place.client)),
                "one adelay": lambda: asyncio.run(one_by_one()),
                "adelay": lambda: asyncio.run(in_coroutines()),
            },
        )
    return [
        beside(rates, "delay", f"rpush × {THREADS}", f".delay() from {THREADS} threads", 1.1),
        beside(rates, "adelay", "one adelay", f"adelay() from {COROUTINES} coroutines", 4.0),
    ]


def bulk(rounds: int) -> list[Figure]:
    """`delay_many` beside a bare pipelined load of as many messages."""
    with room() as place:
        place.app()
        wire = Wire(place.url, timeout=10.0)
        rates, _ = by_turns(
            rounds,
            place,
            {
                "delay_many": lambda: len(noop.delay_many((n,) for n in range(BULK))),
                "bare load": lambda: bare_load(wire, BULK),
            },
        )
    return [beside(rates, "delay_many", "bare load", "delay_many", 0.6)]


def memory(rounds: int, number: int = 100_000) -> list[Figure]:
    """Bytes in the broker per waiting task."""
    with room() as place:
        place.app()
        noop.delay(0)
        before = place.client.info("memory")["used_memory"]
        for n in range(number):
            noop.delay(n)
        spent = (place.client.info("memory")["used_memory"] - before) / number
    return [Figure("broker memory per waiting task", spent, "bytes", f"{number:,} waiting", at_most=170)]


def growth(rounds: int, number: int = 1_000_000) -> list[Figure]:
    """`.delay()` into a broker that holds a million delayed and a million waiting tasks, beside an empty one."""
    with room() as empty, room() as full:
        full.app()
        noop.delay_many((n,) for n in range(number))
        noop.options(delay="1d").delay_many((n,) for n in range(number))
        rates: Samples = {"empty": [], "full": []}
        for _ in range(max(LEAST_ROUNDS, rounds)):
            for name, place in (("full", full), ("empty", empty)):
                place.app()
                empty.client.flushall()
                noop.delay(1)
                begun = time.perf_counter()
                times(CALLS, lambda: noop.delay(1))
                rates[name].append(CALLS / (time.perf_counter() - begun))
    rate, bare = statistics.median(rates["full"]), statistics.median(rates["empty"])
    share = ratio(rates, "full", "empty")
    what = f".delay() beside {number:,} delayed and {number:,} waiting tasks"
    return [Figure(what, rate, "calls/s", f"empty broker {bare:,.0f}/s: {share:.2f} ×", share, at_least=0.9)]


def times(number: int, call: Callable[[], object]) -> int:
    """Calls it so often."""
    for _ in range(number):
        call()
    return number


def raw_script(wire: Wire, number: int) -> int:
    """What `.delay()` sends, ready made, without anything around it."""
    message = head("noop", 1, 600) + msgpack.packb([[1]])
    front = verbs.enqueue_call(verbs.enqueue_front(keys.prefix("bench", "default"), "noop", 1, b""))
    calls = [front + verbs.enqueue_item(new_id("default"), message) for _ in range(number)]
    wire.request(script("enqueue").load_command())
    for call in calls:
        wire.request(call)
    return number


def bare_load(wire: Wire, number: int) -> int:
    """The least that a bulk can be: hash and ids over a raw connection, pipelined, in chunks, packed in the loop."""
    pack = msgpack.Packer().pack
    for start in range(0, number, 1000):
        ids, pairs = [], []
        for n in range(start, min(start + 1000, number)):
            id, body = b"default.%020x" % n, pack(["noop", [n]])
            ids.append(b"$28\r\n%b\r\n" % id)
            pairs.append(b"$28\r\n%b\r\n$%d\r\n%b\r\n" % (id, len(body), body))
        size = len(ids)
        hset = b"*%d\r\n%b%b" % (2 + 2 * size, encode_items(("HSET", "bare:tasks")), b"".join(pairs))
        rpush = b"*%d\r\n%b%b" % (2 + size, encode_items(("RPUSH", "bare:queue")), b"".join(ids))
        wire.send(hset + rpush)
        wire.read()
        wire.read()
    return number


def in_threads(call: Callable[[], object]) -> int:
    """The calls of all threads together."""
    threads = [threading.Thread(target=times, args=(CALLS // THREADS, call)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CALLS


async def one_by_one() -> int:
    """One coroutine, which waits for each of its calls."""
    for _ in range(CALLS):
        await noop.adelay(1)
    return CALLS


async def in_coroutines() -> int:
    """Many coroutines, each of which does."""

    async def some() -> None:
        for _ in range(CALLS // COROUTINES):
            await noop.adelay(1)

    await asyncio.gather(*(some() for _ in range(COROUTINES)))
    return CALLS
