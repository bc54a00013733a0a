"""The life of one task, in the order in which it went: for people who ask what has become of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from distq.broker.inspect import whole

Facts = Mapping[str, Any]


def timeline(facts: Facts) -> list[dict[str, Any]]:
    """What `facts.describe` knows, event by event. What is not known of one is left out; the last may be to come."""
    return [{name: value for name, value in event.items() if value not in (None, "")} for event in _events(facts)]


def _events(facts: Facts) -> Iterator[dict[str, Any]]:
    by = facts.get("parent_id") or (facts.get("headers") or {}).get("schedule")
    if called := whole(facts.get("enqueued_at_ms")):
        yield {"event": "enqueued", "at_ms": called, "by": by if isinstance(by, str) else None}
    for record in facts["attempts"]:
        yield from _of_attempt(record)
    status = facts["status"]
    if status == "scheduled":
        yield {"event": "due", "at_ms": whole(facts.get("due_at_ms"))}
    elif status == "running":
        yield {"event": "running", "attempt": facts.get("attempt"), "worker": facts.get("worker")}
    elif status == "completed":
        yield {"event": "completed", "at_ms": whole(facts.get("finished_at_ms")) or None}
    elif status in ("dead", "cancelled", "expired"):
        at = facts.get("ended_at_ms") or (facts["attempts"][-1].get("at") if facts["attempts"] else None)
        yield {"event": status, "at_ms": whole(at) or None, "by": facts.get("by")}


def _of_attempt(record: Facts) -> Iterator[dict[str, Any]]:
    number, at, seconds = record.get("attempt"), whole(record.get("at")), record.get("seconds")
    if at and isinstance(seconds, int | float):
        yield {
            "event": "started",
            "at_ms": whole(at - seconds * 1000),
            "attempt": number,
            "worker": record.get("worker"),
        }
    type, message = record.get("type", ""), record.get("message", "")
    yield {
        "event": record.get("outcome") or "ended",
        "at_ms": at or None,
        "attempt": number,
        "error": f"{type}: {message}" if message else str(type),
        "retry_in_ms": record.get("retry_in_ms"),
    }
