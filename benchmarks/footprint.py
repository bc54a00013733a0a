"""What a worker host costs beside its work: memory, its growth, the start, a replaced process, idling.

Memory is the PSS of all processes of the tree (what several share is counted once), so Linux only. Modules are compiled
before, as by an installation, also where the environment forbids to write byte code.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from benchmarks.figure import Figure, compared, measured
from benchmarks.host import Room, room, sent_within, until, worker_host
from benchmarks.processes import below, cpu_seconds, pss_mib
from benchmarks.tasks import die, loaded, noop, stamp
from benchmarks.turns import by_turns

PROCESSES = 4
TASKS = 100_000
TIMES = 10
SETTLE_S = 1.5
"""Between the last task and the look at the memory."""
LEASE_S = 16.0
"""Once per lease the supervisor does what it does least often."""
IDLE_S = 30.0
OWN = ("distq", "benchmarks", "__main__", "__mp_main__")
PACKAGES = ["redis", "hiredis", "msgpack", "croniter", "typer", "rich.console"]
"""What distq is built on: the packages that come with it."""

IMPORT = """
import importlib, json, os, sys, time
for name in json.loads(sys.stdin.readline()):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
"""
PREFORK = (
    IMPORT
    + """
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(3600)
print("ready", flush=True)
time.sleep(3600)
"""
)
"""The least that a host of so many processes can be: imports, forks, and does nothing."""


def memory(rounds: int) -> list[Figure]:
    """Four processes after 100,000 no-op tasks, beside bare preforks of four that do nothing.

    One imports the packages that distq is built on, the other every module that a worker has imported and no more.
    """
    names = imports()
    found = by_turns(
        rounds,
        {"ours": _after_work, "packages": lambda: bare_mib(PACKAGES), "modules": lambda: bare_mib(names)},
    )
    ratio = statistics.median(one / other for one, other in zip(found["ours"], found["modules"], strict=True))
    bare = statistics.median(found["modules"])
    return [
        compared(
            f"memory of a host, {PROCESSES} processes", "MiB", found["ours"], found["packages"],
            "bare prefork of its packages", at_most=1.25,
        ),
        Figure("its ratio to a prefork of its modules", ratio, "×", f"{len(names)} modules, idle: {bare:.1f} MiB"),
    ]  # fmt: skip


def _after_work() -> float:
    with room() as place, worker_host(place, PROCESSES, 1, **compiled()) as host:
        work(place, TASKS)
        time.sleep(SETTLE_S)
        return pss_mib(below({host.pid}))


def bare_mib(names: list[str]) -> float:
    """The memory of a bare prefork that imports these modules."""
    with prefork(names, PROCESSES) as pid:
        return pss_mib(below({pid}))


def imports() -> list[str]:
    """What a worker has imported, without distq itself and the application."""
    with room() as place, worker_host(place, 1, 1, **compiled()):
        place.app()
        return [name for name in loaded.delay().get(timeout=10) if name.split(".")[0] not in OWN]


@cache
def compiled() -> dict[str, str]:
    """An environment in which modules are compiled once."""
    folder = tempfile.mkdtemp(prefix="bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environ = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
    used = ["distq.cli.commands", "distq.cli.launch", "distq.supervisor.supervisor", "benchmarks.tasks", *PACKAGES]
    subprocess.run([sys.executable, "-c", f"import {', '.join(used)}"], env={**os.environ, **environ}, check=True)
    return environ


def growth(rounds: int) -> list[Figure]:
    """The same tree after the first and after the tenth hundred thousand.

    As many come before them, for what runs for the first time and then goes on to share less, and a whole lease, in
    which the supervisor does each of its duties once. Without pages of files: how many other programs share those
    changes meanwhile.
    """
    sizes = []
    with room() as place, worker_host(place, PROCESSES, 1, **compiled()) as host:
        work(place, TASKS)
        time.sleep(LEASE_S)
        for _ in range(TIMES):
            work(place, TASKS)
            time.sleep(SETTLE_S)
            sizes.append(pss_mib(below({host.pid}), but="Pss_File"))
    told = f"{sizes[0]:.1f} MiB after the first {TASKS:,} tasks, {sizes[-1]:.1f} MiB after the tenth"
    return [Figure("memory grows by", sizes[-1] - sizes[0], "MiB", told, sizes[-1] / sizes[0], at_most=1.02)]


def start(rounds: int) -> list[Figure]:
    """From `distq run` to the start of the first task, which waits already; beside Python with the same imports."""
    names = imports()
    found = by_turns(max(5, rounds), {"ours": _first_task, "bare": lambda: _bare_start(names)})
    told = f"bare Python that imports the same modules {statistics.median(found['bare']):.2f}"
    return [measured("start of a host to the first task", "s", found["ours"], told, at_most=0.5)]


def _first_task() -> float:
    with room() as place:
        place.app()
        waiting = stamp.delay(0)
        asked = time.monotonic_ns()
        with worker_host(place, PROCESSES, 1, **compiled()):
            return (waiting.get(timeout=30) - asked) / 1e9


def _bare_start(names: list[str]) -> float:
    begun = time.monotonic()
    code = IMPORT + "print(time.monotonic())"
    told = json.dumps(names) + "\n"
    command, environ = [sys.executable, "-c", code], {**os.environ, **compiled()}
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=True, env=environ)
    return float(done.stdout) - begun


def recycling(rounds: int) -> list[Figure]:
    """A process is killed: how long its slot does not work."""
    gaps = []
    with tempfile.TemporaryDirectory() as folder, room() as place, worker_host(place, 1, 1, **compiled()):
        place.app()
        for number in range(max(10, rounds)):
            note = Path(folder, str(number))
            again = die.delay(str(note)).get(timeout=30)
            gaps.append((again - float(note.read_text("ascii"))) * 1000)
    told = f"{len(gaps)} times, {max(gaps):.0f} ms at most"
    return [measured("a killed process is replaced, and works", "ms", gaps, told, at_most=50)]


def idle(rounds: int) -> list[Figure]:
    """What a host with four idle processes sends, and what it takes of a processor."""
    with room() as place, worker_host(place, PROCESSES, 1, **compiled()) as host:
        place.app()
        for handle in noop.delay_many((n,) for n in range(1000)):
            handle.get(timeout=10)
        time.sleep(SETTLE_S)
        used, begun = cpu_seconds(below({host.pid})), time.perf_counter()
        sent = sent_within(place.client, IDLE_S)
        took = time.perf_counter() - begun
        used = cpu_seconds(below({host.pid})) - used
    names = Counter(command.split()[0].lower() for command in sent)
    told = ", ".join(f"{number} {name}" for name, number in sorted(names.items()))
    return [
        Figure("commands of an idle host, 4 processes", len(sent) / took, "/s", f"{took:.0f} s: {told}", at_most=1),
        Figure("processor time of an idle host", used / took * 100, "%", f"{used * 1000:.0f} ms", at_most=0.2),
    ]


@contextmanager
def prefork(names: list[str], processes: int) -> Iterator[int]:
    """A process that has imported these modules, and so many forks of it, doing nothing; gives its pid."""
    told = [sys.executable, "-c", PREFORK, str(processes)]
    process = subprocess.Popen(
        told, env={**os.environ, **compiled()}, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(names) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        for pid in below({process.pid}):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def work(place: Room, number: int) -> None:
    """Has the workers do so many no-op tasks."""
    place.app()
    before = place.counted("completed", "noop")
    noop.delay_many((n,) for n in range(number))
    until(lambda: place.counted("completed", "noop") >= before + number, f"{number:,} tasks")
