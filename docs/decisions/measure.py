"""The figures in the decisions 0001, 0004, 0006, 0007, 0011, 0012, 0022, 0024: `python docs/decisions/measure.py`.

Everything that is compared runs by turns in one process against one embedded broker; shown are medians of the rounds.
Compare ratios: absolute numbers are those of this machine at this moment.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable
from functools import partial

import msgpack
import redis

from distq import Distq
from distq.broker import keys, verbs
from distq.broker.connect import Wire
from distq.broker.scripts import Script, encode, encode_items, script
from distq.broker.verdicts import Verdicts, verdict
from distq.embedded import EmbeddedBroker
from distq.message import head, new_id, new_ids
from distq.worker.board import Board
from distq.worker.hand import Hand

ROUNDS, CALLS, BULK = 9, 2000, 1000
BODY = b"\x91\x92\x01\x02"


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def compare(title: str, server: redis.Redis, ways: dict[str, Callable[[], object]]) -> None:
    """Rates and client CPU of several ways to do one call, by turns."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            server.flushall()
            call()
            start, used = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                call()
            rates[name].append(CALLS / (time.perf_counter() - start))
            cpu[name].append((time.process_time() - used) / CALLS * 1e6)
    print(title)
    for name in ways:
        print(
            f"  {name:40} {statistics.median(rates[name]):8,.0f}/s {statistics.median(cpu[name]):6.1f} µs of client CPU"
        )


def enqueueing(url: str, server: redis.Redis) -> None:
    """0006 and 0011."""
    app = Distq("measure", url)

    @app.task
    def add(a: int, b: int) -> None: ...

    wire = Wire(url, timeout=5.0)
    prefix = keys.prefix("measure", "default")
    verb = script("enqueue")
    long_text = verb.text.replace("if ARGV[3] == '' and", "if false and")
    without = Script.of("enqueue", long_text, "")
    message = head("add", 1, 600) + BODY
    registered = server.register_script(verb.text)
    push = encode("RPUSH", "list", b"x" * 32)

    def front(which: Script) -> bytes:
        return encode_items(("EVALSHA", which.sha, 1, prefix, "add", "default", ""))

    def raw(which: Script) -> object:
        return wire.run_script(which, verbs.enqueue_one(front(which), new_id("default"), message))

    def many(which: Script) -> object:
        return wire.run_script(which, verbs.enqueue_many(front(which), new_ids("default", BULK), [message] * BULK))

    compare(
        "0006  a call",
        server,
        {
            "redis-py: rpush": lambda: server.rpush("list", b"x" * 32),
            "socket + hiredis: rpush": lambda: wire.request(push),
            "redis-py: the enqueue script": lambda: registered(
                keys=[prefix], args=["add", "default", "", new_id("default"), message]
            ),
            "socket + hiredis: the enqueue script": lambda: raw(verb),
            "task.delay(1, 2)": lambda: add.delay(1, 2),
        },
    )
    print("0011  the enqueue script in the server")
    for name, which in (("with the short way", verb), ("without it", without)):
        print(f"  {name:40} {server_us(server, partial(raw, which), CALLS):6.1f} µs a call")
    print(f"0022  the same for {BULK} messages in a call")
    for name, which in (("with the short way", verb), ("without it", without)):
        print(f"  {name:40} {server_us(server, partial(many, which), 40) / BULK:6.2f} µs a message")


def server_us(server: redis.Redis, call: Callable[[], object], calls: int) -> float:
    """Microseconds of the server's time for one call of a script."""
    spent: list[float] = []
    for _ in range(ROUNDS):
        server.flushall()
        call()
        server.config_resetstat()
        for _ in range(calls):
            call()
        spent.append(server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return statistics.median(spent)


def packing(server: redis.Redis) -> None:
    """0001."""
    print("0001  what the server's own msgpack makes of a value that it reads and writes")
    values: tuple[object, ...] = (1, 2**53 + 1, {}, [1, None, 2], b"\x00\xff", msgpack.ExtType(4, b"2026-11-24"))
    for value in values:
        raw = msgpack.packb(value)
        try:
            again = server.eval("return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))", 0, raw)
            said = repr(msgpack.unpackb(again, strict_map_key=False))
        except redis.ResponseError as error:
            said = f"error: {error}"
        print(f"  {value!r:40} {said:.60}")


def waking(url: str, server: redis.Redis) -> None:
    """0004: from the producer's write until an idle worker has the message."""
    worker, producer = Wire(url, timeout=5.0), Wire(url, timeout=5.0)
    prefix = keys.prefix("measure", "default")
    message = head("add", 1, 600) + BODY
    front = verbs.enqueue_front(prefix, "add", 1, b"")
    block = encode("BZPOPMIN", keys.key(prefix, "WAKE"), 5)
    in_one, apart = [], []
    server.flushall()
    worker.run(verbs.register(prefix, "w", "h", 60_000, "d", b"", "all", ["add"], {}))
    producer.run_script(script("enqueue"), verbs.enqueue_one(front, new_id("default"), message))
    worker.run(verbs.step(prefix, "w", 1, 1, 1 << 20, "d"))
    for number in range(2, 2 * CALLS, 2):
        worker.send(block + verbs.step(prefix, "w", number, 1, 1 << 20, "d").data)
        start = time.perf_counter()
        producer.run_script(script("enqueue"), verbs.enqueue_one(front, new_id("default"), message))
        worker.read()
        assert worker.read()[5], "the step behind the marker brought the message"
        in_one.append(time.perf_counter() - start)
        worker.send(block)
        start = time.perf_counter()
        producer.run_script(script("enqueue"), verbs.enqueue_one(front, new_id("default"), message))
        worker.read()
        assert worker.run(verbs.step(prefix, "w", number + 1, 1, 1 << 20, "d")).entries
        apart.append(time.perf_counter() - start)
    print("0004  waking an idle worker, from the call until it has the message")
    for name, spent in (("pop and step in one write", in_one), ("the step after the pop", apart)):
        print(f"  {name:40} {statistics.median(spent) * 1e6:6.0f} µs")


BATCH = 100


def settling(url: str, server: redis.Redis) -> None:
    """0012 and 0024: a step that settles a batch of completed tasks and reserves the next one."""
    text = script("step").text
    one_by_one = (
        "redis.call('RPUSH', ANSWER .. id, blob)\nredis.call('PEXPIRE', ANSWER .. id, kind.number)\nkind.size = size\n"
    )
    ways = {
        "as it is": text,
        "0012: entry by entry out of the list": edited(
            text,
            ("if settles_all(list, first) then", "if false then"),
            ("if found == #list then", "if false then"),
            ("elseif found > 4 then", "elseif false then"),
        ),
        "0012: each verdict's text read": edited(text, ("if not kind then", "read_kind(text)\n    if not kind then")),
        "0024: a key with a TTL for each result": edited(
            text,
            ("results[size - 1], results[size], kind.size = id, blob, size", one_by_one),
            ("keep(kind.results, kind.number)", ""),
        ),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            server.flushall()
            spent[name].append(_settle_a_queue(Wire(url, timeout=5.0), server, str(server.script_load(way))))
    print(f"0012, 0024  a step that settles {BATCH} tasks and reserves {BATCH}, in the server")
    base = statistics.median(spent["as it is"])
    for name in ways:
        took = statistics.median(spent[name])
        print(f"  {name:40} {took:6.0f} µs a call; as it is: {base / took:.2f} of that")


def edited(text: str, *edits: tuple[str, str]) -> str:
    """A script that does something the other way."""
    for old, new in edits:
        assert old in text, f"the script has changed: change this, too: {old}"
        text = text.replace(old, new)
    return text


def _settle_a_queue(wire: Wire, server: redis.Redis, sha: str) -> float:
    """Microseconds per step in the server."""
    prefix, room = keys.prefix("measure", "default"), 1 << 20
    front = verbs.enqueue_front(prefix, "add", 1, b"")
    message = head("add", 1, 600) + BODY
    for _ in range(20):
        wire.run(verbs.enqueue(front, new_ids("default", BATCH), [message] * BATCH))
    wire.run(verbs.register(prefix, "w", "h", 60_000, "d", b"", "all", ["add"], {}))
    held = wire.run(verbs.step(prefix, "w", 1, BATCH, room, "d")).entries
    server.config_resetstat()
    for number in range(2, 21):
        done = [verdict(entry, b"complete", b"add", 600_000, b"\x91\xa9completed") for entry in held]
        step = verbs.step(prefix, "w", number, BATCH, room, "d", Verdicts(BATCH, b"".join(done)))
        held = step.parse(wire.request(step.data.replace(step.verb.sha.encode(), sha.encode()))).entries
        assert len(held) == BATCH
    wire.close()
    return float(server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def board() -> None:
    """0007."""
    print("0007  noting start and end of a task on the board")
    for name in ("with the lock", "without it"):
        hand = Hand(Board(1).slots[0])
        hand.enter("worker", 1 << 62)
        if name != "with the lock":
            hand._acquire = hand._release = bool  # type: ignore[assignment]  # a call that does nothing
        print(f"  {name:40} {_noting(hand):6.2f} µs a task")


def _noting(hand: Hand) -> float:
    entries = [b"default.%020x" % n for n in range(100)]
    verdict = b"v" * 60
    spent = []
    for _ in range(200):
        hand.settled([(entry, b"", 0, 0, 0) for entry in entries])
        hand.start(0, time.monotonic_ns())
        start = time.perf_counter()
        for _ in entries:
            hand.start(0, time.monotonic_ns(), verdict)
        spent.append((time.perf_counter() - start) / len(entries) * 1e6)
        hand.collect(0, 1)
        hand.settled()
    return statistics.median(spent)


if __name__ == "__main__":
    port = free_port()
    with EmbeddedBroker(port=port) as embedded:
        url = f"redis://127.0.0.1:{port}/0"
        print(embedded.program)
        server = redis.Redis(port=port)
        packing(server)
        waking(url, server)
        enqueueing(url, server)
        settling(url, server)
    board()
