"""The metrics port of a worker host: a process of its own, so that no slow scraper ever holds up the supervisor.

Counters come from the status board, depths from the broker, at the moment of the scrape.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from distq.broker import keys, verbs
from distq.broker.connect import Exchange
from distq.errors import BrokerError
from distq.supervisor.processes import die_with_parent, how_it_ended, leave_signals_to_supervisor, next_pause
from distq.supervisor.service import NEVER, Service
from distq.worker.board import BUCKETS, STATUSES, Board, read_meters

logger = logging.getLogger("distq.supervisor")

DEFAULT_PORT = 8080
TRIES = 100
MAX_SCRAPERS = 64


class PortTaken(Exception):
    """The given metrics port is in use."""


class MetricsDoor(Service):
    """The listening socket, bound at once so that a taken port is an error at start, and the process behind it.

    That process is replaced when it dies. Only it and the supervisor hold the socket: one that nobody answers on would
    look like a host that hangs.
    """

    def __init__(self, port: int | None) -> None:
        self._socket = _bind_free() if port is None else _bind(port)
        self.port: int = self._socket.getsockname()[1]
        self.pid: int | None = None
        self._start_at, self._born, self._pause = NEVER, 0.0, 0.0
        self._collector: _Collector | None = None

    def fileno(self) -> int:
        """For processes that close it."""
        return self._socket.fileno()

    def start(self, board: Board, facts: dict[str, Any], url: str) -> None:
        """Begins to answer."""
        self._collector = _Collector(board, facts, url)
        self._start_at = 0.0

    def deadline(self) -> float:
        """When the process is to be started."""
        return self._start_at

    def work(self, now: float) -> None:
        """Starts it."""
        if now >= self._start_at:
            self._start_at, self._born = NEVER, now
            self._fork()

    def look_after(self) -> None:
        """Some child of the supervisor has died: if it was this one, there will be another."""
        if self.pid is None:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.pid, now = None, time.monotonic()
            self._pause = next_pause(self._pause, now - self._born)
            self._start_at = now + self._pause
            logger.error("the metrics process %s; a new one in %g s", how_it_ended(status), self._pause)

    def _fork(self) -> None:
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                leave_signals_to_supervisor()
                die_with_parent(parent)
                assert self._collector is not None
                _serve(self._socket, self._collector)
            except BaseException:
                logger.exception("the metrics process failed")
            finally:
                os._exit(1)

    def close(self) -> None:
        """Ends it."""
        self._socket.close()
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = None


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("0.0.0.0", port))  # noqa: S104 (scrapers come from elsewhere; it shows numbers only)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise PortTaken(f"metrics port {port}: {error.strerror}") from error
    return listener


def _bind_free() -> socket.socket:
    """8080, or the next free one."""
    for port in range(DEFAULT_PORT, DEFAULT_PORT + TRIES):
        with contextlib.suppress(PortTaken):
            return _bind(port)
    raise PortTaken(f"no free metrics port from {DEFAULT_PORT} to {DEFAULT_PORT + TRIES - 1}; give one, or 0 for none")


class _Quiet(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line."""


def _serve(listener: socket.socket, collector: Collector) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    metrics = make_wsgi_app(registry)

    def application(environ: Any, start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "")
        if path in ("/livez", "/readyz", "/healthz"):
            start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"ok\n"]
        if path in ("/metrics", "/"):
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"not found: try /metrics\n"]

    server = make_server("", 0, application, server_class=_Inherited, handler_class=_Quiet)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


class _Inherited(ThreadingMixIn, WSGIServer):
    """A thread for each scraper, at most MAX_SCRAPERS: one that is silent holds nobody else up."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(MAX_SCRAPERS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts its thread; while all are busy, it is refused."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away, or said nothing for too long, is not worth a line."""
        logger.debug("a scraper's connection broke", exc_info=True)

    def server_bind(self) -> None:
        """The socket is bound already."""
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def server_activate(self) -> None:
        """And listens."""


class _Collector(Collector):
    def __init__(self, board: Board, facts: dict[str, Any], url: str) -> None:
        self._board, self._types = board, facts["types"]
        self._prefixes = [keys.prefix(facts["name"], queue) for queue in facts["queues"]]
        self._exchange = Exchange(url, 1.0)

    def collect(self) -> Iterator[Any]:
        """All families; those of the broker are left out while it is away."""
        processed = CounterMetricFamily(
            "distributedq_processed", "Ended attempts by status and type", labels=["status", "type"]
        )
        duration = HistogramMetricFamily("distributedq_task_duration_seconds", "Duration of attempts", labels=["type"])
        for position, name in enumerate(self._types):
            reading = read_meters(self._board, position)
            for status, value in zip(STATUSES, reading.statuses, strict=True):
                processed.add_metric([status, name], value)
            total, buckets = 0, []
            for bound, value in zip((*map(str, BUCKETS), "+Inf"), reading.buckets, strict=True):
                total += value
                buckets.append((bound, total))
            duration.add_metric([name], buckets, reading.sum_s)
        yield processed
        yield duration
        with contextlib.suppress(BrokerError):
            yield self._depth()

    def _depth(self) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily("distributedq_queue_depth", "Tasks by place", labels=["queue"])
        depths = [self._exchange.run(verbs.depths(prefix)) for prefix in self._prefixes]
        gauge.add_metric(["main_queue"], sum(d.high + d.default + d.low for d in depths))
        gauge.add_metric(["processing_queue"], sum(d.running for d in depths))
        gauge.add_metric(["delayed_queue"], sum(d.scheduled for d in depths))
        gauge.add_metric(["dead_letter_queue"], sum(d.dead for d in depths))
        return gauge
