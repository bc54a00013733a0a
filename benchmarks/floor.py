"""The floor: the same work in bare loops without any features. Nobody can be faster; features cost the distance.

drain      the loop of `bareloop.py` in so many processes
enqueue    redis-py's own `rpush`; many: hash and ids, pipelined over a raw connection
hand-over  a raw push, and a blocking pop in another process
round trip a hand-over there and one back
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import msgpack
import redis

from benchmarks import bareloop
from benchmarks.host import Room
from distq.broker.connect import Wire
from distq.broker.scripts import encode, encode_items


def fill(room: Room, number: int, task: str = "noop", argument: float | None = None) -> None:
    """Puts `number` messages into the bare queue; without an argument each has its own number."""
    for start in range(0, number, 1000):
        ids = [f"default.{n:020x}" for n in range(start, min(start + 1000, number))]
        pipe = room.client.pipeline(transaction=False)
        given = (n if argument is None else argument for n in range(start, start + len(ids)))
        pipe.hset(bareloop.TASKS, mapping={id: msgpack.packb([task, [n]]) for id, n in zip(ids, given, strict=True)})
        pipe.rpush(bareloop.QUEUE, *ids)
        pipe.execute()


def load(wire: Wire, number: int) -> None:
    """The same as `fill` over a raw connection: pipelined, in chunks, ids and bodies made in the loop."""
    pack = msgpack.Packer().pack
    for start in range(0, number, 1000):
        ids, pairs = [], []
        for n in range(start, min(start + 1000, number)):
            id, body = b"default.%020x" % n, pack(["noop", [n]])
            ids.append(b"$28\r\n%b\r\n" % id)
            pairs.append(b"$28\r\n%b\r\n$%d\r\n%b\r\n" % (id, len(body), body))
        size = len(ids)
        hset = b"*%d\r\n%b%b" % (2 + 2 * size, encode_items(("HSET", bareloop.TASKS)), b"".join(pairs))
        rpush = b"*%d\r\n%b%b" % (2 + size, encode_items(("RPUSH", bareloop.QUEUE)), b"".join(ids))
        wire.send(hset + rpush)
        wire.read()
        wire.read()


def drain(room: Room, number: int, processes: int, task: str = "noop", argument: float | None = None) -> float:
    """Tasks per second of so many bare processes."""
    fill(room, number, task, argument)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes + 1)
    children = [context.Process(target=_join_in, args=(room.url, index, barrier)) for index in range(processes)]
    for child in children:
        child.start()
    barrier.wait()
    start = time.perf_counter()
    for child in children:
        child.join()
    return number / (time.perf_counter() - start)


def _join_in(url: str, index: int, barrier: Barrier) -> None:
    bareloop.run(url, index, barrier.wait)


def rpush(client: redis.Redis) -> None:
    """What a producer without any features sends."""
    client.rpush("bare:list", b"x" * 32)


def sleepers(processes: int, threads: int, seconds: float, within: float) -> float:
    """How often per second so many threads can sleep for so long, with nothing around it: the ideal of this machine.

    `time.sleep` takes a little longer than it is told: of 1 ms about a tenth.
    """
    context = multiprocessing.get_context("fork")
    rates: Any = context.Array("d", processes * threads)

    def rest(place: int) -> None:
        begun, number = time.monotonic(), 0
        while time.monotonic() < begun + within:
            time.sleep(seconds)
            number += 1
        rates[place] = number / (time.monotonic() - begun)

    def run(index: int) -> None:
        own = [threading.Thread(target=rest, args=(index * threads + number,)) for number in range(threads)]
        for thread in own:
            thread.start()
        for thread in own:
            thread.join()

    children = [context.Process(target=run, args=(index,)) for index in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return float(sum(rates))


# -- hand-over --------------------------------------------------------------------------------------------------------


@contextmanager
def _partner(target: Callable[..., None], *args: object) -> Iterator[Connection]:
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()
    child = context.Process(target=target, args=(*args, its))
    child.start()
    mine.recv()
    yield mine
    child.join()


def hand_over(room: Room, gaps: Sequence[float]) -> list[float]:
    """Milliseconds from each push to its arrival in another process; `gaps` are the seconds between them."""
    with _partner(_pop, room.url, len(gaps)) as partner:
        wire = Wire(room.url, timeout=10.0)
        sent = []
        for gap in gaps:
            time.sleep(gap)
            sent.append(time.monotonic_ns())
            wire.request(encode("RPUSH", "bare:hand", b"x"))
        arrived = partner.recv()
    return [(after - before) / 1e6 for before, after in zip(sent, arrived, strict=True)]


def _pop(url: str, number: int, its: Connection) -> None:
    wire = Wire(url, timeout=10.0)
    its.send("ready")
    arrived = []
    for _ in range(number):
        wire.request(encode("BLPOP", "bare:hand", 0))
        arrived.append(time.monotonic_ns())
    its.send(arrived)


def round_trip(room: Room, gaps: Sequence[float]) -> list[float]:
    """Milliseconds from each push until its answer was popped here: a hand-over there and one back."""
    with _partner(_answer, room.url, len(gaps)) as partner:
        wire = Wire(room.url, timeout=10.0)
        took = []
        for gap in gaps:
            time.sleep(gap)
            begun = time.monotonic_ns()
            wire.request(encode("RPUSH", "bare:there", b"x"))
            wire.request(encode("BLPOP", "bare:back", 0))
            took.append((time.monotonic_ns() - begun) / 1e6)
        partner.recv()
    return took


def _answer(url: str, number: int, its: Connection) -> None:
    wire = Wire(url, timeout=10.0)
    its.send("ready")
    for _ in range(number):
        wire.request(encode("BLPOP", "bare:there", 0))
        wire.request(encode("RPUSH", "bare:back", b"x"))
    its.send("done")
