"""What the HTTP API takes, beside a bare echo of the same server; the load comes from the same machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from socket import create_connection
from statistics import median

from benchmarks import http_load
from benchmarks.api_server import KEY
from benchmarks.figure import Figure, compared, measured, percentile
from benchmarks.host import Room, room
from benchmarks.processes import cpu_seconds

SECONDS = 1.0
CONNECTIONS, BULK_CONNECTIONS = 32, 4
BULK = 1_000
SLOW = 200

ONE = json.dumps({"type": "noop", "args": [1]}).encode()
FIRST = json.dumps({"type": "noop", "payload": 1}).encode()
MANY = json.dumps({"type": "noop", "calls": [[n] for n in range(BULK)]}).encode()


def api(rounds: int) -> list[Figure]:
    """Single calls, calls in bulk, latency at half of that, and 200 clients that are slow."""
    with server() as (port, pid):
        echo, ours, first, bulk = _Kind(pid, port), _Kind(pid, port), _Kind(pid, port), _Kind(pid, port)
        for _ in range(rounds):
            echo.run("/echo", ONE, b"200")
            ours.run("/api/v1/tasks", ONE, b"201")
            first.run("/enqueue", FIRST, b"200")
            bulk.run("/api/v1/tasks/bulk", MANY, b"201", BULK_CONNECTIONS, BULK)
        request = http_load.request("/api/v1/tasks", ONE, KEY)
        calm, disturbed = [], []
        half = median(ours.per_s) / 2
        for _ in range(rounds):
            calm.append(_p99_ms(port, request, half))
            with slow_clients(port):
                _rate(port, "/echo", ONE, b"200")  # until the server has taken them all
                disturbed.append(_p99_ms(port, request, half))
        many = http_load.request("/api/v1/tasks/bulk", MANY, KEY)
        half = median(bulk.per_s) / BULK / 2
        filled = [_p99_ms(port, many, half, b"201", BULK_CONNECTIONS) for _ in range(rounds)]
    return [
        compared("POST /api/v1/tasks", "tasks/s", ours.per_s, echo.per_s, "a bare echo", at_least=0.5),
        compared("POST /enqueue", "tasks/s", first.per_s, echo.per_s, "a bare echo", at_least=0.5),
        Figure(
            f"POST /api/v1/tasks/bulk, {BULK} each", median(bulk.per_s), "tasks/s", "", None, 50_000,
            samples=tuple(bulk.per_s),
        ),
        compared("server's processor time of a call", "µs", ours.us, echo.us, "of an echo", at_most=2),
        measured("server's processor time of a task in bulk", "µs", bulk.us, at_most=20),
        measured("single calls at half that rate, p99", "ms", calm, at_most=20),
        measured(f"bulk at half that rate, p99 of {BULK} tasks", "ms", filled),
        compared(f"single calls beside {SLOW} slow clients, p99", "ms", disturbed, calm, "without them"),
    ]  # fmt: skip


class _Kind:
    """Requests of one kind: how many answers there are, and what each costs the server, whoever else is busy."""

    def __init__(self, pid: int, port: int) -> None:
        self._pid, self._port = pid, port
        self.per_s: list[float] = []
        self.us: list[float] = []

    def run(self, path: str, body: bytes, status: bytes, connections: int = CONNECTIONS, tasks: int = 1) -> None:
        """For some time, as many as it can."""
        before = cpu_seconds({self._pid})
        per_s = _rate(self._port, path, body, status, connections) * tasks
        self.per_s.append(per_s)
        self.us.append((cpu_seconds({self._pid}) - before) * 1e6 / (per_s * SECONDS))


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A server on a broker of its own: its port, its process."""
    with room() as place, serving(place) as found:
        yield found


@contextmanager
def serving(place: Room) -> Iterator[tuple[int, int]]:
    """A server on this broker."""
    command = [sys.executable, "-m", "benchmarks.api_server", place.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """Connections that have begun to send a body, and do not go on."""
    head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 1000\r\n\r\n{{".encode()
    with ExitStack() as stack:
        for _ in range(SLOW):
            stack.enter_context(create_connection(("127.0.0.1", port))).sendall(head)
        yield


def _rate(port: int, path: str, body: bytes, status: bytes, connections: int = CONNECTIONS) -> float:
    return http_load.rate(port, connections, http_load.request(path, body, KEY), status, SECONDS)


def _p99_ms(port: int, request: bytes, per_s: float, status: bytes = b"201", connections: int = CONNECTIONS) -> float:
    return percentile(http_load.latencies(port, connections, request, status, per_s, SECONDS), 0.99) * 1000
