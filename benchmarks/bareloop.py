"""The bare loop of one process: one script settles a batch with stored results and reserves the next; the loop unpacks,
looks up, calls, packs. No ownership check, no retries, no priorities, no deadlines, no status board, no context, no
counters.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgpack

from benchmarks.work import burn
from distq.broker.connect import Wire
from distq.broker.scripts import encode, encode_items
from distq.worker.pace import MOST

BATCH = MOST
"""The same as a worker's."""

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

QUEUE, TASKS = "bare:queue", "bare:tasks"
HANDLERS: dict[str, Callable[[float], object]] = {"noop": lambda number: number, "sleep": time.sleep, "burn": burn}


def run(url: str, index: int, begin: Callable[[], object] = lambda: None) -> Wire:
    """Until the queue is empty; gives the connection, which is still open. `begin` is called when it is connected."""
    wire = Wire(url, timeout=10.0)
    sha = wire.request(encode("SCRIPT", "LOAD", SCRIPT)).decode()
    keys = (QUEUE, TASKS, f"bare:processing:{index}", "bare:result:")
    begin()
    done: list[bytes] = []
    while True:
        head = b"*%d\r\n" % (8 + len(done)) + encode_items(("EVALSHA", sha, 4, *keys, BATCH))
        ids, bodies = wire.request(head + encode_items(done))
        if not ids:
            return wire
        done = []
        for id, body in zip(ids, bodies, strict=True):
            name, args = msgpack.unpackb(body)
            done += (id, msgpack.packb(HANDLERS[name](*args)))
