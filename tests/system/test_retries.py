"""What becomes of a task whose attempt does not end well."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

from distq import TaskFailed, message
from distq.broker import inspect
from distq.broker.inspect import DeadFilter
from distq.result import Handle
from tests.support.apps import retries
from tests.support.apps.retries import app
from tests.support.eventually import eventually
from tests.support.journal import Journal
from tests.support.room import Room
from tests.system.conftest import Start


@pytest.fixture(autouse=True)
def bound(url: str) -> None:
    app.rebind(url)


def attempts(handle: Handle[Any]) -> list[dict[str, Any]]:
    return inspect.attempts(app.broker, "default", handle.id)


def failure(handle: Handle[Any]) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        handle.get(timeout=20)
    return caught.value


def pauses(journal: Journal, handle: Handle[Any]) -> list[float]:
    """Seconds from the end of each attempt to the start of the next."""
    ends, starts = journal.ends(id=handle.id), journal.starts(id=handle.id)
    return [start.at - end.at for end, start in zip(ends, starts[1:], strict=False)]


# -- the budget ------------------------------------------------------------------------------------------------------

CLOCK_S = 0.001
"""The broker keeps times in whole milliseconds."""


def test_attempts_come_200_400_and_800_ms_after_the_one_before_and_then_the_task_is_dead(
    start: Start, journal: Journal
) -> None:
    start("retries")
    handles = [retries.always_fails.options(delay=0.02 * n).delay() for n in range(25)]  # each a measurement of its own
    for handle in handles:
        assert failure(handle).message == "attempt 4"
        assert handle.status() == "dead"
        assert [line.attempt for line in journal.starts(id=handle.id)] == [1, 2, 3, 4]
    gaps = [pauses(journal, handle) for handle in handles]
    for position, delay in enumerate((0.2, 0.4, 0.8)):
        late = [gap[position] - delay for gap in gaps]
        assert min(late) >= -CLOCK_S, f"an attempt came {-min(late):.4f} s too early"
        assert statistics.median(late) < 0.02, f"late: {sorted(late)}"


def test_a_dead_task_keeps_the_error_and_the_time_of_each_attempt(start: Start, journal: Journal) -> None:
    start("retries")
    before = int(time.time() * 1000)
    handle = retries.always_fails.delay()
    failure(handle)
    after = int(time.time() * 1000)
    kept = attempts(handle)
    assert [record["attempt"] for record in kept] == [1, 2, 3, 4]
    assert [record["message"] for record in kept] == [f"attempt {n}" for n in (1, 2, 3, 4)]
    assert [record["retry_in_ms"] for record in kept] == [200, 400, 800, None]
    assert {record["type"] for record in kept} == {"ValueError"}
    assert all("in always_fails" in record["traceback"] for record in kept)
    times = [record["at"] for record in kept]
    assert before <= times[0] <= times[1] - 200 <= times[2] - 600 <= times[3] - 1400 <= after - 1400
    (letter,) = inspect.dead_letters(app.broker, "default", DeadFilter())
    assert (letter.id, letter.type, letter.error, letter.message) == (
        handle.id, "always_fails", "ValueError", "attempt 4",
    )  # fmt: skip


def test_a_replayed_task_runs_again_with_a_fresh_budget(start: Start, journal: Journal) -> None:
    start("retries")
    handle = retries.always_fails.delay()
    failure(handle)
    assert inspect.replay(app.broker, "default", [handle.id]) == 1
    eventually(lambda: len(journal.ends(id=handle.id)) == 8, "four more attempts")
    assert failure(handle).message == "attempt 4"
    assert [line.attempt for line in journal.starts(id=handle.id)] == [1, 2, 3, 4] * 2
    assert [record.get("attempt") for record in attempts(handle)] == [1, 2, 3, 4, None, 1, 2, 3, 4]
    assert [record["outcome"] for record in attempts(handle)][4] == "replayed"
    assert inspect.replay(app.broker, "default", [handle.id, "default.unknown"]) == 1


def test_a_task_that_recovers_completes_and_a_call_may_say_its_own_budget(start: Start, journal: Journal) -> None:
    start("retries")
    recovers = retries.fails_before.delay(3)
    short = retries.fails_before.options(retries=1).delay(3)
    once = retries.never_retried.delay()
    longer = retries.never_retried.options(retries=1).delay()
    assert recovers.get(timeout=20) == 3
    assert recovers.status() == "completed"
    assert failure(short).message == "attempt 2"
    assert failure(once).message == failure(longer).message == "once"
    assert len(journal.starts(id=once.id)) == 1
    assert len(journal.starts(id=longer.id)) == 2


def test_a_backoff_of_ones_own_is_asked_and_a_broken_one_counts_as_the_default(start: Start, journal: Journal) -> None:
    start("retries")
    own, broken = retries.own_backoff.delay(), retries.has_a_broken_backoff.delay()
    failure(own)
    failure(broken)
    assert [record["retry_in_ms"] for record in attempts(own)] == [50, 100, 150, None]
    assert [record["retry_in_ms"] for record in attempts(broken)] == [200, 400, 800, None]
    assert all(gap >= delay - CLOCK_S for gap, delay in zip(pauses(journal, own), (0.05, 0.1, 0.15), strict=True))


def test_the_rule_of_the_nearest_class_counts(start: Start, journal: Journal) -> None:
    start("retries")
    handles = {name: retries.raises_by_name.delay(name) for name in ("Flood", "KeyError", "ValueError")}
    for handle in handles.values():
        failure(handle)
    assert {name: len(journal.starts(id=handle.id)) for name, handle in handles.items()} == {
        "Flood": 3, "KeyError": 1, "ValueError": 2,
    }  # fmt: skip
    assert failure(handles["Flood"]).type == "tests.support.apps.retries.Flood"


# -- directives ------------------------------------------------------------------------------------------------------


def test_a_handler_that_asks_for_a_retry_gets_it_after_its_own_delay(start: Start, journal: Journal) -> None:
    start("retries")
    handle = retries.asks_for_a_retry.delay(0.1)
    assert handle.get(timeout=20) == 2
    (gap,) = pauses(journal, handle)
    assert 0.1 - CLOCK_S <= gap < 5, "the backoff of this task is 5 s"
    at_once = retries.asks_for_a_retry.delay(0)
    assert at_once.get(timeout=20) == 2
    by_backoff = retries.asks_for_a_retry.delay()
    eventually(lambda: by_backoff.status() == "scheduled", "it waits for its backoff")
    assert attempts(by_backoff)[0]["retry_in_ms"] == 5000
    assert attempts(by_backoff)[0]["message"] == "slow down"
    assert by_backoff.cancel()


def test_asking_for_retries_is_bounded_by_the_budget(start: Start, journal: Journal) -> None:
    start("retries")
    handle = retries.asks_for_ever.delay()
    assert failure(handle).message == "once more"
    assert [line.attempt for line in journal.starts(id=handle.id)] == [1, 2, 3, 4]


def test_a_rejected_task_is_dead_at_once_with_the_reason(start: Start, journal: Journal) -> None:
    start("retries")
    handle = retries.rejects.delay()
    error = failure(handle)
    assert (error.type, error.message) == ("Reject", "no such customer")
    assert [record["outcome"] for record in attempts(handle)] == ["rejected"]
    assert len(journal.starts(id=handle.id)) == 1


def test_a_snooze_costs_no_attempt(start: Start, journal: Journal) -> None:
    start("retries", processes=1)
    handle = retries.snoozes.delay(5)
    assert handle.get(timeout=20) == 1, "it completes at its first attempt although it has no retries"
    assert [line.attempt for line in journal.starts(id=handle.id)] == [1] * 6
    assert min(pauses(journal, handle)) >= 0.05 - CLOCK_S
    assert attempts(handle) == []
    again_at_once = retries.snoozes.delay(3, 0)
    assert again_at_once.get(timeout=20) == 1


# -- whatever a handler does ends in a verdict -----------------------------------------------------------------------


def test_no_exception_of_a_handler_ends_its_process(start: Start, journal: Journal) -> None:
    host = start("retries")
    before = host.children
    wanted = {"SystemExit": "3", "KeyboardInterrupt": "", "Unspeakable": "(its message cannot be shown: RuntimeError)"}
    for how, text in wanted.items():
        handle = retries.exits.delay(how)
        error = failure(handle)
        assert error.type.endswith(how)
        assert error.message == text
        assert [line.attempt for line in journal.starts(id=handle.id)] == [1, 2], "each is retried like any error"
        assert len(attempts(handle)) == 2
    assert retries.ok.delay(5).get(timeout=20) == 5
    assert host.children == before


def test_a_result_that_cannot_be_stored_makes_the_task_dead_and_is_not_run_again(
    start: Start, journal: Journal
) -> None:
    host = start("retries")
    before = host.children
    odd, large = retries.returns_what_cannot_travel.delay(), retries.returns_too_much.delay()
    assert failure(odd).type == "distq.errors.NotSerializable"
    assert "result['users'][0]" in failure(odd).message or "result.users[0]" in failure(odd).message
    assert failure(large).type == "distq.errors.PayloadTooLarge"
    assert len(journal.starts(id=odd.id)) == len(journal.starts(id=large.id)) == 1
    assert len(attempts(odd)) == 1
    assert retries.ok.delay(5).get(timeout=20) == 5
    assert host.children == before


def test_what_cannot_be_read_is_dead_and_holds_nobody_up(start: Start, room: Room, journal: Journal) -> None:
    no_body = room.enqueue(type="ok", body=b"\xc1")
    no_call = room.enqueue(type="ok", body=b"\xa1x")
    room.redis.hset(room.key("TASKS"), "garbage", b"\x01\x02")  # as no producer of ours would
    room.redis.rpush(room.key("QUEUE", "default"), "garbage")
    room.redis.hincrby(room.key("LEDGER"), "enqueued ", 1)
    good = retries.ok.delay(7)
    host = start("retries")
    assert good.get(timeout=20) == 7
    for id in (no_body, no_call, "garbage"):
        eventually(lambda id=id: app.result(id).status() == "dead", f"{id} is dead")  # type: ignore[misc]
        assert len(room.attempts(id)) == 1
    assert failure(app.result(no_body)).type == "distq.codec.DecodeError"
    assert {line.id for line in journal.starts()} == {good.id}
    assert len(host.children) == 2


def test_a_type_that_no_worker_knows_waits_and_is_run_by_one_that_starts_later(start: Start, journal: Journal) -> None:
    old = start("retries")
    handle = app.enqueue("newcomer", 5)
    for value in range(20):
        assert retries.ok.delay(value).get(timeout=20) == value, "it holds nobody up"
    eventually(lambda: handle.status() == "queued", "it waits")
    start("newcomer")
    assert handle.get(timeout=20) == [5, 1, 1]
    second = app.enqueue("newcomer", 6)
    assert second.get(timeout=20) == [6, 1, 1]
    assert {line.pid for line in journal.starts(id=handle.id) + journal.starts(id=second.id)}.isdisjoint(old.children)
    assert attempts(handle) == attempts(second) == []


def test_a_task_of_a_newer_envelope_waits_and_costs_nothing(
    start: Start, room: Room, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("retries")
    with monkeypatch.context() as newer:
        newer.setattr(message, "PLAIN", message.VERSION + 1)
        ids = [room.enqueue(type="ok") for _ in range(3)]
    assert room.head(ids[0]).version == message.VERSION + 1
    for value in range(20):
        assert retries.ok.delay(value).get(timeout=20) == value
    for id in ids:
        eventually(lambda id=id: app.result(id).status() == "queued", "it waits")  # type: ignore[misc]
        assert (room.head(id).attempt, room.head(id).deliveries, room.attempts(id)) == (0, 0, [])
        assert not journal.starts(id=id)
