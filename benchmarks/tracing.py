"""What tracing costs a task, beside two bare spans of the SDK: one of the call, one of the attempt."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, cast

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Tracer

from benchmarks.figure import Figure, compared
from benchmarks.host import Room, room
from benchmarks.turns import by_turns
from distq import Distq, Middleware
from distq.broker import keys
from distq.integrations.opentelemetry import OpenTelemetry
from distq.worker.execute import Executor

TASKS = 2_000


def tracing(rounds: int) -> list[Figure]:
    """Processor time of this process for a call and its attempt: with spans, and with none but two bare ones.

    Spans are recorded, and exported by nobody: what an exporter costs is its own affair.
    """
    provider = TracerProvider()
    bare = provider.get_tracer("bare")
    sides = {
        "traced": lambda: _task([OpenTelemetry(provider)], None),
        "bare": lambda: _task([], bare),
        "without": lambda: _task([], None),
    }
    took = by_turns(rounds, sides)
    return [
        compared(
            "a call and its attempt with spans", "µs", took["traced"], took["bare"], "without, and two bare spans",
            at_most=1.3, more=f"; without {statistics.median(took['without']):.0f} µs",
        )
    ]  # fmt: skip


def _task(links: list[Middleware], tracer: Tracer | None) -> float:
    """Microseconds for each. `tracer`: makes a bare span around each call, and around each attempt."""
    with room() as place:
        app = Distq("traced", place.url)
        app.middleware[:0] = links

        @app.task
        def noop(number: int) -> int:
            return number

        executor = Executor(app, lambda: "worker", None)
        call, run = noop.delay, executor.run
        if tracer is not None:
            call, run = (
                _in_span(tracer, "send", SpanKind.PRODUCER, call),
                _in_span(tracer, "process", SpanKind.CONSUMER, run),
            )
        begun = time.process_time()
        handles = [call(number) for number in range(TASKS)]
        called = time.process_time() - begun
        messages = _messages(place, [handle.id for handle in handles])
        begun = time.process_time()
        now = time.monotonic_ns()
        for entry, raw in messages:
            _, _, now = run("default", entry, raw, 1, now)
        return (called + time.process_time() - begun) / TASKS * 1e6


def _in_span(tracer: Tracer, operation: str, kind: SpanKind, call: Callable[..., Any]) -> Callable[..., Any]:
    """As a program makes one that says what the conventions require."""
    said = {"messaging.system": "distq", "messaging.operation.name": operation, "messaging.operation.type": operation}
    said |= {"messaging.destination.name": "default", "messaging.message.id": "default.5d8f5f9f1b3f4bd5a2c1"}

    def called(*args: Any) -> Any:
        with tracer.start_as_current_span(f"{operation} default", kind=kind, attributes=said):
            return call(*args)

    return called


def _messages(place: Room, ids: list[str]) -> list[tuple[bytes, bytes]]:
    tasks = keys.key(keys.prefix("traced", "default"), "TASKS")
    return [
        (id.encode(), raw) for id, raw in zip(ids, cast("list[bytes]", place.client.hmget(tasks, ids)), strict=True)
    ]
