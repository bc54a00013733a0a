"""What the figures depend on besides the systems: the machine, its load, and how fast a plain Python loop is on it."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distq.broker.connect import Wire
from distq.broker.scripts import encode
from distq.embedded import EmbeddedBroker, find_server

LOOP = 2_000_000
PINGS = 3_000
LOOK_S, QUIET = 0.3, 0.85


def loop_ms() -> float:
    """A fixed loop of plain Python. If this differs between rounds, the machine was not quiet."""
    begun = time.perf_counter()
    total = 0
    for number in range(LOOP):
        total += number % 7
    assert total > 0
    return (time.perf_counter() - begun) * 1000


def describe() -> dict[str, Any]:
    """Processor, memory, system and versions."""
    return {
        "processor": _line(Path("/proc/cpuinfo"), r"^model name\s*: (.*)$") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": int(_line(Path("/proc/meminfo"), r"^MemTotal:\s*(\d+) kB$") or 0) // 1024,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "server": _server(),
        "libraries": {name: version(name) for name in ("redis", "hiredis", "msgpack")},
    }


def calibrate() -> dict[str, float]:
    """How fast the machine is at this moment, and who else wants it."""
    return {"loop_ms": round(loop_ms(), 1), "ping_us": round(ping_us(), 1), "load": round(load(), 2)}


def ping_us() -> float:
    """Median microseconds of a raw PING to an embedded broker: the least that a call can take."""
    with EmbeddedBroker() as broker:
        wire = Wire(broker.url, timeout=5.0)
        ping, took = encode("PING"), []
        for _ in range(PINGS):
            begun = time.perf_counter()
            wire.request(ping)
            took.append((time.perf_counter() - begun) * 1e6)
        wire.close()
    return statistics.median(took)


def await_quiet(patience_s: float | None = None) -> bool:
    """Waits until nearly all of the processors are idle, at most so long; whether they were.

    On a machine that others use, too: by default $BENCH_PATIENCE seconds, else not at all.
    """
    patience_s = float(os.environ.get("BENCH_PATIENCE", "0")) if patience_s is None else patience_s
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        before = idle_s()
        time.sleep(LOOK_S)
        if idle_s() - before > QUIET * LOOK_S * (os.cpu_count() or 1):
            return True
    return patience_s <= 0


def idle_s() -> float:
    """Seconds for which all processors of the machine together were idle."""
    return int(Path("/proc/stat").read_text("ascii").split(maxsplit=5)[4]) / os.sysconf("SC_CLK_TCK")


def load() -> float:
    """Processes that wanted to run in the last minute."""
    return os.getloadavg()[0]


def _line(path: Path, pattern: str) -> str:
    match = re.search(pattern, path.read_text("utf-8"), re.M) if path.exists() else None
    return match[1].strip() if match else ""


def _server() -> str:
    program = find_server()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    match = re.search(r"v=([\d.]+)", said)
    return f"{Path(program).name} {match[1] if match else ''}".strip()
