"""The log of a host: a line for each ended attempt, in time, whatever becomes of the process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from distq import Distq, TaskFailed
from distq.facts import describe
from tests.support.apps import lines
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.room import Room
from tests.system.conftest import Start

FIELDS = [
    "event", "task_id", "type", "queue", "attempt", "worker", "correlation_id", "outcome", "duration_ms", "wait_ms",
    "error",
]  # fmt: skip


def ended(host: Host) -> list[dict[str, Any]]:
    """What it has said of attempts."""
    said = [json.loads(line) for line in host.log().splitlines() if line.startswith("{")]
    return [line for line in said if line.get("event") == "attempt.ended"]


def test_whoever_sees_an_end_finds_its_line_also_before_a_slow_task_and_behind_a_crash(
    start: Start, room: Room, gate: Path
) -> None:
    lines.app.rebind(room.url)
    first = lines.quick.delay_many((number,) for number in range(60))
    slow = lines.slow.delay(str(gate))
    host = start("lines", "--log-format", "json", processes=1)
    for handle in first:
        handle.get(timeout=30)
    assert slow.status() == "running"
    assert [line["task_id"] for line in ended(host)] == [handle.id for handle in first]
    second = lines.quick.delay_many((number,) for number in range(60))
    dies = lines.dies.delay()
    gate.touch()
    eventually(lambda: dies.status() == "dead", "it has killed its process")
    for handle in second:
        handle.get(timeout=30)
    said = ended(host)
    before, after = ([handle.id for handle in handles] for handles in (first, second))
    assert [line["task_id"] for line in said] == [*before, slow.id, *after]
    assert all(list(line)[5:] == FIELDS for line in said)


def test_a_line_says_what_became_of_an_attempt(start: Start, room: Room) -> None:
    lines.app.rebind(room.url)
    host = start("lines", "--log-format", "json", processes=1)
    handle = lines.fails.delay()
    eventually(lambda: handle.status() == "dead", "it has failed")
    retry, dead = ended(host)
    assert list(retry)[5:] == list(dead)[5:] == FIELDS
    assert (retry["level"], retry["outcome"], retry["attempt"]) == ("WARNING", "retry", 1)
    assert (dead["level"], dead["outcome"], dead["attempt"]) == ("ERROR", "dead", 2)
    assert retry["error"] == dead["error"] == "LookupError: no such row"
    assert dead["correlation_id"] == handle.id
    assert dead["worker"] == room.attempts(handle.id)[-1]["worker"]


def test_tasks_that_come_from_one_another_have_one_correlation_id(start: Start, room: Room) -> None:
    lines.app.rebind(room.url)
    host = start("lines", "--log-format", "json", processes=1)
    first = lines.calls.options(headers={"correlation_id": "request-7"}).delay(1)
    second = first.get(timeout=20)
    assert lines.app.result(second).get(timeout=20) == 1
    third = lines.calls.delay(2)
    fourth = third.get(timeout=20)
    assert lines.app.result(fourth).get(timeout=20) == 2
    said = {line["task_id"]: line["correlation_id"] for line in ended(host)}
    assert said == {first.id: "request-7", second: "request-7", third.id: third.id, fourth: third.id}
    facts = describe(lines.app, fourth)
    assert (facts["correlation_id"], facts["parent_id"]) == (third.id, third.id)
    assert [event["event"] for event in facts["timeline"]] == ["enqueued", "completed"]
    assert facts["timeline"][0]["by"] == third.id


def test_the_life_of_a_task_is_told_event_by_event(start: Start, room: Room) -> None:
    lines.app.rebind(room.url)
    start("lines", processes=1)
    handle = lines.fails.delay()
    eventually(lambda: handle.status() == "dead", "it has failed")
    told = describe(lines.app, handle.id)["timeline"]
    assert [event["event"] for event in told] == ["enqueued", "started", "raised", "started", "raised", "dead"]
    assert [event["at_ms"] for event in told[1:]] == sorted(event["at_ms"] for event in told[1:])
    assert (told[2]["error"], told[2]["retry_in_ms"]) == ("LookupError: no such row", 10)


def test_what_is_sensitive_is_nowhere_to_be_seen(start: Start, room: Room) -> None:
    lines.app.rebind(room.url)
    host = start("lines", "--log-format", "json", processes=1)
    handle = lines.opens.delay("ann", "pin-4711", {"api_key": "key-0815", "mode": "fast"})
    eventually(lambda: handle.status() == "dead", "it has failed")
    said = "PermissionError: ann cannot open with *** and ***"
    assert ended(host)[-1]["error"] == said
    with pytest.raises(TaskFailed, match=re.escape(said)):
        handle.get(timeout=5)
    for known in (lines.app, Distq("app", room.url)):  # with its code, and without
        facts = describe(known, handle.id)
        assert facts["args"] == ["ann", "***", {"api_key": "***", "mode": "fast"}]
        assert facts["error"]["message"] == said.partition(": ")[2]
        for secret in ("4711", "0815"):
            assert secret not in str(facts) + host.log()
