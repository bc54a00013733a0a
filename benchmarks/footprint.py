"""What a worker host costs beside its work: memory, its growth, the start, a replaced process, idling.

Memory is the PSS of all processes of the tree (what several share is counted once), so Linux only.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.host import Room, room, sent_within, worker_host
from benchmarks.tasks import die, loaded, noop, stamp

PROCESSES = 4
TASKS = 100_000
TIMES = 10
SETTLE_S = 1.5
"""Between the last task and the look at the memory."""
IDLE_S = 30.0
OWN = ("distq", "benchmarks", "__main__", "__mp_main__")

PREFORK = """
import importlib, json, os, sys, time
for name in json.loads(sys.stdin.readline()):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(3600)
print("ready", flush=True)
time.sleep(3600)
"""
"""The least that a host of so many processes can be: imports what a worker has imported, forks, and does nothing."""


def memory(rounds: int) -> list[Figure]:
    """Four processes after 100,000 no-op tasks, beside a bare prefork of four that imports the same."""
    ours, bare = [], []
    for _ in range(rounds):
        with room() as place, worker_host(place, PROCESSES, port=None) as host:
            _work(place, TASKS)
            names = [name for name in loaded.delay().get(timeout=10) if name.split(".")[0] not in OWN]
            time.sleep(SETTLE_S)
            ours.append(pss_mib(host.pid))
        with prefork(names, PROCESSES) as pid:
            bare.append(pss_mib(pid))
    mine, beside = statistics.median(ours), statistics.median(bare)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    told = f"bare prefork of the same {len(names)} modules: {beside:.1f} MiB: {ratio:.2f} ×"
    return [Figure(f"memory of a host, {PROCESSES} processes", mine, "MiB", told, ratio, at_most=1.25)]


def growth(rounds: int) -> list[Figure]:
    """The same tree after the first and after the tenth hundred thousand."""
    with room() as place, worker_host(place, PROCESSES, port=None) as host:
        sizes = []
        for _ in range(TIMES):
            _work(place, TASKS)
            time.sleep(SETTLE_S)
            sizes.append(pss_mib(host.pid))
    told = f"{sizes[0]:.1f} MiB after {TASKS:,} tasks, {sizes[-1]:.1f} MiB after {TASKS * TIMES:,}"
    return [Figure("memory grows by", sizes[-1] - sizes[0], "MiB", told, sizes[-1] / sizes[0], at_most=1.02)]


def start(rounds: int) -> list[Figure]:
    """From `distq run` to the start of the first task, which waits already."""
    ours, bare = [], []
    for _ in range(max(5, rounds)):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import redis, msgpack"], check=True)
        bare.append(time.perf_counter() - begun)
        with room() as place:
            place.app()
            waiting = stamp.delay(0)
            asked = time.time()
            with worker_host(place, PROCESSES, port=None):
                ours.append(waiting.get(timeout=30) - asked)
    told = f"python -c 'import redis, msgpack': {statistics.median(bare):.2f} s"
    return [Figure("start of a host to the first task", statistics.median(ours), "s", told, at_most=0.5)]


def recycling(rounds: int) -> list[Figure]:
    """A process is killed: how long its slot does not work."""
    gaps = []
    with tempfile.TemporaryDirectory() as folder, room() as place, worker_host(place, 1, port=None):
        place.app()
        for number in range(max(10, rounds)):
            note = Path(folder, str(number))
            again = die.delay(str(note)).get(timeout=30)
            gaps.append((again - float(note.read_text("ascii"))) * 1000)
    told = f"{len(gaps)} times, {max(gaps):.0f} ms at most"
    return [Figure("a killed process is replaced, and works", statistics.median(gaps), "ms", told, at_most=50)]


def idle(rounds: int) -> list[Figure]:
    """What a host with four idle processes sends, and what it takes of a processor."""
    with room() as place, worker_host(place, PROCESSES, port=None) as host:
        place.app()
        for handle in noop.delay_many((n,) for n in range(1000)):
            handle.get(timeout=10)
        time.sleep(SETTLE_S)
        used, begun = cpu_seconds(host.pid), time.perf_counter()
        sent = sent_within(place.client, IDLE_S)
        took = time.perf_counter() - begun
        used = cpu_seconds(host.pid) - used
    names = Counter(command.split()[0].lower() for command in sent)
    told = ", ".join(f"{number} {name}" for name, number in sorted(names.items()))
    return [
        Figure("commands of an idle host, 4 processes", len(sent) / took, "/s", f"{took:.0f} s: {told}", at_most=1),
        Figure("processor time of an idle host", used / took * 100, "%", f"{used * 1000:.0f} ms", at_most=0.2),
    ]


# -- looking at processes ---------------------------------------------------------------------------------------------


def tree(root: int) -> list[int]:
    """This process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def pss_mib(root: int) -> float:
    """The memory of a tree: what several processes share is divided between them."""
    total = 0
    for pid in tree(root):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        total += int(_found(r"^Pss:\s*(\d+) kB$", text))
    return total / 1024


def cpu_seconds(root: int) -> float:
    """What all threads of a tree have used so far, to the nanosecond."""
    paths = [path for pid in tree(root) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(path.read_text("ascii").split()[0]) for path in paths) / 1e9


@contextmanager
def prefork(names: list[str], processes: int) -> Iterator[int]:
    """A process that has imported these modules, and so many forks of it, doing nothing; gives its pid."""
    told = [sys.executable, "-c", PREFORK, str(processes)]
    process = subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(names) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        for pid in reversed(tree(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def _work(place: Room, number: int) -> None:
    place.app()
    before = place.counted("completed", "noop")
    noop.delay_many((n,) for n in range(number))
    _until(lambda: place.counted("completed", "noop") >= before + number)


def _until(condition: Callable[[], bool], within: float = 120.0) -> None:
    give_up = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(0.02)
