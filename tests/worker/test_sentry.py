"""What becomes an event at Sentry, and what stands in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from distq import Distq, Snooze
from distq.codec import Codec
from distq.integrations.sentry import Sentry
from distq.worker.execute import Executor
from tests.support.room import Room

Events = list[dict[str, Any]]


@pytest.fixture
def events() -> Iterator[Events]:
    found: Events = []

    class Collecting(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            event: Any = envelope.get_event()
            found.append(event)

    sentry_sdk.init("http://key@localhost/1", transport=Collecting, default_integrations=False)
    yield found
    sentry_sdk.init()


def run(room: Room, app: Distq, type: str, *args: Any, attempt: int = 0) -> str:
    id = room.enqueue(type, body=Codec().pack_call(args, {}))
    step = room.step(room.register([type]))
    executor = Executor(app, lambda: "worker", None)
    executor.run("default", step.entries[0], step.messages[0], step.fence, time.monotonic_ns())
    executor.rest()
    return id


def test_what_ends_a_task_is_an_event_without_its_secrets(room: Room, events: Events) -> None:
    app = Distq("app")
    app.middleware.insert(0, Sentry())

    @app.task(retries=0, sensitive=["pin"])
    def opens(user: str, pin: str) -> None:
        code = pin + "-0815"
        sentry_sdk.add_breadcrumb(message="at the door")
        raise PermissionError(f"{user} cannot open with {code}")

    id = run(room, app, "opens", "ann", "pin-4711")
    (event,) = events
    (said,) = event["exception"]["values"]
    assert (said["type"], said["value"]) == ("PermissionError", "ann cannot open with ***-0815")
    assert said["mechanism"] == {"type": "distq", "handled": False}
    assert event["transaction"] == "opens"
    assert event["fingerprint"] == ["{{ default }}", "opens"]
    assert event["tags"]["distq.task_id"] == event["tags"]["distq.correlation_id"] == id
    assert event["contexts"]["task"]["args"] == ["ann", "***"]
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["at the door"]
    assert said["stacktrace"]["frames"][-1]["vars"]["pin"] == "***"
    assert "4711" not in str(event)


@pytest.mark.parametrize(("reports_retries", "number"), [(False, 0), (True, 1)])
def test_what_is_tried_again_is_none_unless_it_is_wished(
    room: Room, events: Events, reports_retries: bool, number: int
) -> None:
    app = Distq("app")
    app.middleware.insert(0, Sentry(retries=reports_retries))

    @app.task(retries=1)
    def fails() -> None:
        raise LookupError

    @app.task
    def snoozes() -> None:
        raise Snooze(60)

    run(room, app, "fails")
    run(room, app, "snoozes")
    assert len(events) == number


def test_each_attempt_has_breadcrumbs_of_its_own(room: Room, events: Events) -> None:
    app = Distq("app")
    app.middleware.insert(0, Sentry())

    @app.task(retries=0)
    def fails(number: int) -> None:
        sentry_sdk.add_breadcrumb(message=f"number {number}")
        if number:
            raise LookupError

    run(room, app, "fails", 0)
    run(room, app, "fails", 1)
    assert [crumb["message"] for crumb in events[0]["breadcrumbs"]["values"]] == ["number 1"]
