"""The floor: the same work in bare loops without any features. Nobody can be faster; features cost the distance.

drain     one script settles a batch (stored results) and reserves the next; the loop unpacks, looks up, calls, packs
enqueue   redis-py's own `rpush`
hand-over a raw push, and a blocking pop in another process
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import msgpack
import redis

from benchmarks.host import Room
from distq.broker.connect import Wire
from distq.broker.scripts import encode, encode_items

BATCH = 128
TTL_MS = 600_000

SCRIPT = """
local mine = KEYS[3]
for i = 2, #ARGV, 2 do
  redis.call('SET', KEYS[4] .. ARGV[i], ARGV[i + 1], 'PX', 600000)
  redis.call('HDEL', KEYS[2], ARGV[i])
end
redis.call('DEL', mine)
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then return {{}, {}} end
redis.call('RPUSH', mine, unpack(ids))
return {ids, redis.call('HMGET', KEYS[2], unpack(ids))}
"""

HANDLERS: dict[str, Callable[[int], int]] = {"noop": lambda number: number}


def fill(room: Room, number: int) -> None:
    """Puts `number` messages into the bare queue."""
    for start in range(0, number, 1000):
        ids = [f"default.{n:020x}" for n in range(start, min(start + 1000, number))]
        pipe = room.client.pipeline(transaction=False)
        pipe.hset("bare:tasks", mapping={id: msgpack.packb(["noop", [n]]) for n, id in enumerate(ids, start)})
        pipe.rpush("bare:queue", *ids)
        pipe.execute()


def drain(room: Room, number: int, processes: int) -> float:
    """Tasks per second of so many bare processes."""
    fill(room, number)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes + 1)
    children = [context.Process(target=_loop, args=(room.url, index, barrier)) for index in range(processes)]
    for child in children:
        child.start()
    barrier.wait()
    start = time.perf_counter()
    for child in children:
        child.join()
    return number / (time.perf_counter() - start)


def _loop(url: str, index: int, barrier: Barrier) -> None:
    wire = Wire(url, timeout=10.0)
    sha = wire.request(encode("SCRIPT", "LOAD", SCRIPT)).decode()
    keys = ("bare:queue", "bare:tasks", f"bare:processing:{index}", "bare:result:")
    barrier.wait()
    done: list[bytes] = []
    while True:
        head = b"*%d\r\n" % (8 + len(done)) + encode_items(("EVALSHA", sha, 4, *keys, BATCH))
        ids, bodies = wire.request(head + encode_items(done))
        if not ids:
            return
        done = []
        for id, body in zip(ids, bodies, strict=True):
            name, args = msgpack.unpackb(body)
            done += (id, msgpack.packb(HANDLERS[name](*args)))


def rpush(client: redis.Redis) -> None:
    """What a producer without any features sends."""
    client.rpush("bare:list", b"x" * 32)


def hand_over(room: Room, gaps: Sequence[float]) -> list[float]:
    """Milliseconds from each push to its arrival in another process; `gaps` are the seconds between them."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()
    child = context.Process(target=_pop, args=(room.url, len(gaps), its))
    child.start()
    mine.recv()
    wire = Wire(room.url, timeout=10.0)
    sent = []
    for gap in gaps:
        time.sleep(gap)
        sent.append(time.monotonic_ns())
        wire.request(encode("RPUSH", "bare:hand", b"x"))
    arrived = mine.recv()
    child.join()
    return [(after - before) / 1e6 for before, after in zip(sent, arrived, strict=True)]


def _pop(url: str, number: int, its: Connection) -> None:
    wire = Wire(url, timeout=10.0)
    its.send("ready")
    arrived = []
    for _ in range(number):
        wire.request(encode("BLPOP", "bare:hand", 0))
        arrived.append(time.monotonic_ns())
    its.send(arrived)
