"""Tasks whose calls and attempts are spans; each process writes its own into a file."""

from __future__ import annotations

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from distq import Distq, current
from distq.integrations.opentelemetry import OpenTelemetry
from tests.support.journal import PLACE

app = Distq("app")
app.middleware.insert(0, OpenTelemetry())


@app.on_worker_start
def set_provider() -> None:
    """After the fork: what a provider starts, such as a thread that exports, would not come along."""
    provider, place = TracerProvider(), Path(os.environ[PLACE] + ".spans")
    exporter = ConsoleSpanExporter(
        out=place.open("a", buffering=1), formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def here() -> str:
    """The span in which this is called."""
    return trace.format_span_id(trace.get_current_span().get_span_context().span_id)


@app.task
def inner(number: int) -> str:
    return here()


@app.task
async def outer() -> tuple[str, str]:
    return here(), (await inner.adelay(1)).id


@app.task(retries=1, backoff=0.01)
def fails_once() -> str:
    if current().attempt == 1:
        raise LookupError("no such row")
    return here()
