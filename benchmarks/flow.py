"""What flow control costs, and that it holds: hand-over by number of keys, fairness, rates, what waits behind them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgpack

from benchmarks import flow_tasks
from benchmarks.figure import Figure, compared, percentile
from benchmarks.host import Room, pauses, room, sent_within, until, worker_host
from benchmarks.processes import below, cpu_seconds
from benchmarks.turns import by_turns
from distq.broker import keys, verbs
from distq.broker.connect import Wire
from distq.broker.verdicts import Verdicts, verdict

KEYS = (1, 10_000, 1_000_000)
BACKLOG, TAKEN, AT_ONCE = 1_000_000, 20_000, 64
IDLE_KEYS = 10_000
OF_KEYS = re.compile(rb"}:(bucket|turns|blocked|waiters|lane):|}:(resumes|running|held|flowing)$")
MANY, FEW = 100_000, 3
LIMITED, CALLS = 1_000_000, 200
RATE, BURST, SECONDS = 100, 10, 10
NOW_AND_FENCE = "local t = redis.call('TIME') return {t[1], t[2], redis.call('HGET', KEYS[1], 'fence')}"


def flow(rounds: int) -> list[Figure]:
    """All of it."""
    return [*_hand_over(rounds), _left(), *_behind_a_million(rounds), _fairness(rounds), *_rate(), *_idle()]


@contextmanager
def _place(processes: int = 0) -> Iterator[Room]:
    """A broker, and a host of so many processes."""
    with room() as place:
        flow_tasks.app.rebind(place.url)
        if processes:
            with worker_host(place, processes, target="benchmarks.flow_tasks:app"):
                yield place
        else:
            yield place


def _hand_over(rounds: int) -> list[Figure]:
    """The server's time to hand over a task and complete it, of a million that wait, by the number of their keys."""
    found = by_turns(rounds, {str(number): partial(_per_task, number) for number in KEYS})
    first = found[str(KEYS[0])]
    return [
        compared(f"hand-over with {number:,} keys", "µs/task", found[str(number)], first, "one key", at_most=1.3)
        for number in KEYS[1:]
    ]


def _per_task(number: int) -> float:
    with _place() as place:
        prefix = keys.prefix("bench", "default")
        flow_tasks.in_turn.delay_many((f"tenant {n % number}",) for n in range(BACKLOG))
        wire, types = Wire(place.url, timeout=60.0), ["in_turn", "v2/in_turn"]
        limits = {"in_turn": ("", msgpack.packb({"f": 1}))}
        wire.run(verbs.register(prefix, "w", "host", 60_000, "digest", b"{}", "all", types, limits))
        pid = int(place.client.info("server")["process_id"])
        before = cpu_seconds([pid])
        verdicts, taken, step = Verdicts(0, b""), 0, 0
        while taken < TAKEN:
            step += 1
            got = wire.run(verbs.step(prefix, "w", step, AT_ONCE, 1 << 20, "digest", verdicts)).entries
            taken += len(got)
            blob = msgpack.packb(["completed", None, 0.0, 0.0])
            each = [verdict(entry, b"complete", b"in_turn", 600_000, blob) for entry in got]
            verdicts = Verdicts(len(each), b"".join(each))
        wire.close()
        return (cpu_seconds([pid]) - before) / taken * 1e6


def _left() -> Figure:
    """How long something of keys is in the broker, when the last task of each has ended."""
    with _place(2) as place:
        before = set(place.client.scan_iter())
        flow_tasks.bounded.delay_many((f"tenant {n}",) for n in range(IDLE_KEYS))
        until(lambda: place.counted("completed", "bounded") == IDLE_KEYS, "all have run", within=300.0)
        began = time.monotonic()
        until(lambda: not _of_keys(place, before), "nothing is left", within=60.0)
        took = time.monotonic() - began
    what = f"nothing is left of {IDLE_KEYS:,} keys with a rate, a limit and turns"
    return Figure(what, took, "s", "after the last task of each", at_most=60)


def _of_keys(place: Room, before: set[bytes]) -> list[bytes]:
    """What flows have and applications without flows have not."""
    return [name for name in set(place.client.scan_iter(count=1000)) - before if OF_KEYS.search(name)]


def _behind_a_million(rounds: int) -> list[Figure]:
    """How soon a task starts that has no limit, behind a million that have one."""
    found = by_turns(max(3, rounds), {"behind": lambda: _starts(LIMITED), "idle": lambda: _starts(0)})
    p99 = {name: [percentile(times, 0.99) for times in found[name]] for name in found}
    what = f"call to start behind {LIMITED:,} limited tasks, p99"
    return [compared(what, "ms", p99["behind"], p99["idle"], "nothing waits", at_most=2)]


def _starts(limited: int) -> list[float]:
    with _place(2) as place:
        flow_tasks.rare.delay_many(() for _ in range(limited))
        until(lambda: place.counted("completed", "rare") >= min(1, limited), "the first limited one has run")
        for _ in range(20):
            flow_tasks.stamp.delay().get(timeout=30)
        times = []
        for gap in pauses(CALLS):
            time.sleep(gap)
            called = time.monotonic_ns()
            times.append((flow_tasks.stamp.delay().get(timeout=30) - called) / 1e6)
        return times


def _fairness(rounds: int) -> Figure:
    found = by_turns(rounds, {"behind": lambda: _few(MANY), "alone": lambda: _few(0)})
    what = f"{FEW} tasks of a key behind {MANY:,} of another, one process"
    return compared(what, "ms", found["behind"], found["alone"], "alone", at_most=2)


def _few(many: int) -> float:
    with _place(1) as place:
        flow_tasks.works.delay_many(("many",) for _ in range(many))
        until(lambda: place.counted("completed", "works") >= min(20, many), "it is at work")
        began = time.monotonic()
        for handle in [flow_tasks.works.delay("few") for _ in range(FEW)]:
            handle.get(timeout=60)
        return (time.monotonic() - began) * 1000


def _rate() -> list[Figure]:
    """Grants in each second, by the broker's ledger, with a pause of the broker in the middle."""
    with _place(8) as place:
        flow_tasks.limited.delay_many(() for _ in range(RATE * (SECONDS + 10)))
        until(lambda: place.counted("completed", "limited") > BURST, "it is at work")
        before = _grants(place, SECONDS / 2)
        place.client.client_pause(2000)
        after = _grants(place, SECONDS / 2 + 2)
        worst = max(_most_in_a_second(before), _most_in_a_second(after))
        mean = (before[-1][1] - before[0][1]) / (before[-1][0] - before[0][0])
    bound = f"rate {RATE}/s, burst {BURST}, 8 processes, a broker that pauses for 2 s"
    return [
        Figure("most grants in a second", worst, "tasks", bound, at_most=RATE + BURST),
        Figure("mean of grants", mean, "tasks/s", bound, at_least=0.97 * RATE),
    ]


def _grants(place: Room, seconds: float) -> list[tuple[float, int]]:
    """(broker's time, tasks handed over so far): the fence rises by one with each."""
    meta, seen = keys.key(keys.prefix("bench", "default"), "META"), []
    read = place.client.register_script(NOW_AND_FENCE)
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        whole, micros, fence = read(keys=[meta])
        seen.append((int(whole) + int(micros) / 1e6, int(fence)))
        time.sleep(0.002)
    return seen


def _most_in_a_second(seen: list[tuple[float, int]]) -> int:
    most = first = 0
    for at, granted in seen:
        while at - seen[first][0] > 1:
            first += 1
        most = max(most, granted - seen[first][1])
    return most


def _idle() -> list[Figure]:
    """What a host does while all that waits is limited."""
    with room() as place:
        flow_tasks.app.rebind(place.url)
        with worker_host(place, 4, target="benchmarks.flow_tasks:app") as host:
            flow_tasks.rare.delay_many(() for _ in range(1000))
            until(lambda: place.counted("completed", "rare") >= 1, "the first one has run")
            time.sleep(1)
            pids = below({host.pid})
            used, sent = cpu_seconds(pids), len(sent_within(place.client, 10))
            share = (cpu_seconds(pids) - used) / 10 * 100
    what = "all that waits is limited, 4 processes"
    return [
        Figure(what, share, "% of a core", at_most=1),
        Figure(what, sent / 10 / 4, "commands/s each", at_most=2),
    ]
