"""Spans of calls and attempts, over processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from distq import Distq, NotSerializable
from distq.integrations.opentelemetry import OpenTelemetry
from distq.message import parse
from distq.middleware import Outgoing
from tests.support.apps import traced
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(memory: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return provider


@pytest.fixture
def app(room: Room, provider: TracerProvider) -> Distq:
    return Distq("app", room.url, middleware=[OpenTelemetry(provider)])


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Of its trace and of itself, as other processes write them."""
    assert span.context is not None
    return f"0x{format_trace_id(span.context.trace_id)}", f"0x{format_span_id(span.context.span_id)}"


def test_a_trace_goes_through_processes_coroutines_and_retries(
    start: Start, room: Room, journal: Journal, provider: TracerProvider, memory: InMemorySpanExporter
) -> None:
    traced.app.rebind(room.url)
    traced.app.middleware[0] = OpenTelemetry(provider)
    start("traced", "--coroutines", "2", processes=1)
    with provider.get_tracer("test").start_as_current_span("request") as request:
        first, second = traced.outer.delay(), traced.fails_once.delay()
    here, inner = first.get(timeout=20)
    seen = traced.app.result(inner).get(timeout=20)
    last = second.get(timeout=20)
    place = Path(f"{journal.place}.spans")

    def of_tasks() -> list[dict[str, Any]]:
        return [json.loads(line) for line in place.read_text().splitlines()]

    eventually(lambda: len(of_tasks()) == 5, "all spans have ended")
    spans = {(one["name"], one["attributes"]["messaging.message.id"], one["attributes"].get("distq.attempt", 1)): one
             for one in of_tasks()}  # fmt: skip
    sent = {str((span.attributes or {}).get("messaging.message.id")): span for span in memory.get_finished_spans()}
    trace, _ = ids(sent[first.id])
    assert {one["context"]["trace_id"] for one in spans.values()} == {trace}
    assert sent[first.id].parent == request.get_span_context()
    outer = spans["process default", first.id, 1]
    assert outer["parent_id"] == ids(sent[first.id])[1]
    assert outer["kind"] == "SpanKind.CONSUMER"
    assert outer["context"]["span_id"] == f"0x{here}"
    called = spans["send default", inner, 1]
    assert called["parent_id"] == outer["context"]["span_id"]
    assert spans["process default", inner, 1]["parent_id"] == called["context"]["span_id"]
    assert spans["process default", inner, 1]["context"]["span_id"] == f"0x{seen}"
    assert spans["process default", inner, 1]["attributes"]["messaging.message.conversation_id"] == first.id
    failed, again = spans["process default", second.id, 1], spans["process default", second.id, 2]
    assert failed["status"]["status_code"] == "ERROR"
    assert failed["attributes"]["distq.outcome"] == "retry"
    assert failed["attributes"]["error.type"] == "LookupError"
    assert failed["events"][0]["attributes"]["exception.message"] == "no such row"
    assert not failed["links"]
    assert again["links"][0]["context"]["span_id"] == again["parent_id"] == ids(sent[second.id])[1]
    assert again["context"]["span_id"] == f"0x{last}"


def test_each_way_to_call_is_a_span_with_its_context_in_the_message(
    app: Distq, room: Room, memory: InMemorySpanExporter
) -> None:
    @app.task
    def job(value: Any) -> None: ...

    one = job.delay(1)
    two = asyncio.run(job.adelay(2))
    many = job.delay_many([(3,), (4,)])
    with pytest.raises(NotSerializable):
        job.delay(print)
    own = job.options(headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}).delay(5)
    spans = memory.get_finished_spans()
    assert [span.name for span in spans] == [
        "send default", "send default", "create default", "create default", "send default", "send default"
    ]  # fmt: skip
    assert all(span.kind is SpanKind.PRODUCER for span in spans)
    assert [dict(span.attributes or {}).get("messaging.message.id") for span in spans[:2]] == [one.id, two.id]
    assert spans[4].status.status_code is StatusCode.ERROR
    for span, handle in zip([*spans[:4], None], [one, two, *many, own], strict=True):
        _, _, headers = app.codec.unpack_call(parse(room.redis.hget(room.key("TASKS"), handle.id)).body)
        wanted = "a" * 32 if span is None else ids(span)[0][2:]
        assert headers["traceparent"].split("-")[1] == wanted
    assert [format_trace_id(link.context.trace_id) for link in spans[5].links] == ["a" * 32]


def test_a_schedule_carries_no_context(app: Distq, memory: InMemorySpanExporter) -> None:
    @app.periodic("@every 1h")
    @app.task
    def tick() -> None: ...

    assert app.schedules.declared(["default"]) == app.schedules.declared(["default"])
    assert not memory.get_finished_spans()


def test_an_error_that_cannot_be_shown_ends_its_span_all_the_same(
    provider: TracerProvider, memory: InMemorySpanExporter
) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def refuse(outgoing: Outgoing) -> Any:
        raise Unshowable

    with pytest.raises(Unshowable):
        OpenTelemetry(provider).enqueue(Outgoing("job", "default", (), {}, {}), refuse)
    (span,) = memory.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
