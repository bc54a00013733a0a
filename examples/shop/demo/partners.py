"""A real HTTP server on this machine: the partner who gets webhooks, and two services that are asked.

POST /webhook                     fails for some orders, always in the same way (`mood`), until it is repaired
GET  /address/<order>             an address service; notes when it was called
GET  /stock/<warehouse>/<product> how many are there
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

Mood = Literal["well", "shaky", "down", "gone"]

SHAKY_FAILURES = 2


def mood(order: int) -> Mood:
    """What an order's webhook meets: 204; 503 twice and then 204; always 503; or 410."""
    if order % 30 == 11:
        return "gone"
    if order % 20 == 7:
        return "down"
    return "shaky" if order % 10 == 3 else "well"


def pieces(warehouse: str, product: int) -> int:
    """What a warehouse answers."""
    return (product * 7 + len(warehouse)) % 50


class Partners:
    """Listens on a free port while it is entered; `url` is its address. What it noted is there to be checked."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = defaultdict(list)
        """Idempotency-Key -> when each call of this webhook came, also the failed ones."""
        self.accepted: dict[str, int] = defaultdict(int)
        """Idempotency-Key -> how often this webhook was accepted."""
        self.address_calls: list[float] = []
        self._repaired = False
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="partners", daemon=True)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]

    def __enter__(self) -> Partners:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def repair(self) -> None:
        """From now on every webhook is accepted."""
        self._repaired = True

    def take_webhook(self, key: str, order: int) -> int:
        """The HTTP status of one call."""
        with self._lock:
            self.calls[key].append(time.monotonic())
            status = self._status(mood(order), len(self.calls[key]))
            self.accepted[key] += status == 204
            return status

    def take_address(self) -> None:
        """Notes a call of the address service."""
        with self._lock:
            self.address_calls.append(time.monotonic())

    def _status(self, met: Mood, call: int) -> int:
        if self._repaired or met == "well" or (met == "shaky" and call > SHAKY_FAILURES):
            return 204
        return 410 if met == "gone" else 503


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, partners: Partners) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.partners = partners


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """A webhook."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.server.partners.take_webhook(self.headers["Idempotency-Key"], body["order"]))
        self.end_headers()

    def do_GET(self) -> None:
        """A question."""
        match self.path.split("/"):
            case ["", "address", order]:
                self.server.partners.take_address()
                self._answer({"deliverable": int(order) > 0})
            case ["", "stock", warehouse, product]:
                self._answer({"pieces": pieces(warehouse, int(product))})
            case _:
                self.send_error(404)

    def _answer(self, value: dict[str, object]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the demo shows what happens."""
