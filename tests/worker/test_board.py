"""The status board: a task is started by the child or given back by the supervisor, never both, never neither."""

from __future__ import annotations

import random
import re
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from distq.broker.verbs import NO_VERDICTS, Verdicts
from distq.worker.board import BUCKETS, STATUSES, TYPES, VERDICT_BYTES, Board, Meters, Slot, read_meters

ENTRIES = [b"a", b"b 2", b"c"]
HOUR_NS = 3_600_000_000_000


def done(entry: bytes, size: int = 0) -> bytes:
    """A verdict: to the board these are bytes of which it knows no more than where they end."""
    return b"(" + entry + bytes(size) + b")"


def entries_in(verdicts: Verdicts) -> list[bytes]:
    """Whose verdicts these are."""
    found = re.findall(rb"\(([^)]*)\)", verdicts.items)
    assert len(found) == verdicts.number
    return found


def busy(entries: list[bytes] = ENTRIES) -> Slot:
    """A slot whose child has registered and fetched these."""
    slot = Board(1).slots[0]
    slot.clear()
    slot.enter("host:1:x", time.monotonic_ns() + HOUR_NS)
    slot.begin(7, 0, entries, alone=False)
    return slot


def start(slot: Slot, last: bytes = b"") -> bool:
    """Starts the next task; `last` is the entry that was run before, with its verdict noted in the same moment."""
    return slot.start(time.monotonic_ns(), done(last) if last else b"")


def close(slot: Slot, last: bytes = b"") -> tuple[Verdicts, int]:
    return slot.close(done(last) if last else b"")


# -- one side alone --------------------------------------------------------------------------------------------------


def test_a_batch_that_was_run_leaves_all_verdicts_and_nothing_to_give_back() -> None:
    slot = busy()
    assert start(slot)
    assert start(slot, b"a")
    assert start(slot, b"b 2")
    verdicts, unstarted = close(slot, b"c")
    assert (verdicts.number, verdicts.items) == (3, b"".join(map(done, ENTRIES)))
    assert unstarted == 0


def test_the_supervisor_takes_what_is_finished_and_what_is_not_started_from_a_busy_child() -> None:
    slot = busy()
    assert start(slot)
    assert start(slot, b"a")
    batch = slot.revoke()
    assert batch is not None
    assert (batch.step, batch.entries, batch.started, batch.finished) == (7, ENTRIES, 2, 1)
    assert (batch.verdicts.number, batch.verdicts.items) == (1, done(b"a"))
    assert not start(slot), "what was taken away is not started"
    assert slot.revoke() is None, "and not taken twice"
    verdicts, unstarted = close(slot, b"b 2")
    assert (verdicts.number, verdicts.items, unstarted) == (1, done(b"b 2"), 0), "only what nobody has taken"


def test_what_a_child_has_closed_is_not_taken_away() -> None:
    slot = busy()
    assert start(slot)
    assert close(slot, b"a") == ((1, done(b"a")), 2)
    assert slot.revoke() is None


def test_nothing_starts_when_the_lease_is_over_until_it_is_renewed() -> None:
    slot = busy()
    now = time.monotonic_ns()
    slot.extend(now - 1)
    assert not slot.start(now)
    slot.extend(now + 1000)
    assert slot.start(now)
    slot.stop_starting()
    assert not slot.start(now)
    assert close(slot, b"a")[1] == 2, "what was not started is still to be given back"


def test_the_verdict_on_the_last_task_is_noted_also_when_the_next_may_not_start() -> None:
    slot = busy()
    assert start(slot)
    slot.stop_starting()
    assert not start(slot, b"a")
    assert close(slot) == ((1, done(b"a")), 2)


def test_a_dead_child_leaves_what_ran_and_the_verdicts_that_nobody_took() -> None:
    slot = busy()
    assert start(slot)
    assert start(slot, b"a")
    batch = slot.autopsy()
    assert batch.verdicts == (1, done(b"a"))
    assert batch.entries[batch.finished : batch.started] == [b"b 2"]
    slot.revoke()
    assert slot.autopsy().verdicts == NO_VERDICTS, "they were taken"


def test_verdicts_that_are_settled_in_the_middle_of_a_batch_make_room_and_are_not_settled_again() -> None:
    slot = busy()
    large = done(b"a", VERDICT_BYTES - 1000)
    assert start(slot)
    assert slot.start(time.monotonic_ns(), large)
    assert not slot.has_room(2000)
    assert slot.hand_in() == (1, large)
    assert slot.revoke() is None, "the supervisor lets it be meanwhile"
    slot.handed_in(8)
    assert slot.has_room(2000)
    assert slot.autopsy().step == 8
    assert close(slot, b"b 2") == ((1, done(b"b 2")), 1)


def test_a_verdict_for_which_there_is_no_room_goes_along_with_the_others() -> None:
    slot = busy()
    large = done(b"a", VERDICT_BYTES - 1000)
    larger = done(b"b 2", 2000)
    assert start(slot)
    assert slot.start(time.monotonic_ns(), large)
    assert slot.close(larger) == ((2, large + larger), 1)


def test_a_lock_that_died_with_its_child_is_free_for_the_next_one() -> None:
    slot = busy()
    assert slot.lock.acquire()
    assert slot.revoke() is None, "the supervisor never waits for it"
    slot.clear()
    slot.enter("host:2:y", time.monotonic_ns() + HOUR_NS)
    assert slot.name == "host:2:y"


def test_a_batch_is_stuck_when_it_is_old_has_several_and_was_not_taken_away() -> None:
    slot, later = busy(), time.monotonic_ns() + 1_000_000
    assert slot.is_stuck(later, 1000)
    assert not slot.is_stuck(later, HOUR_NS)
    slot.revoke()
    assert not slot.is_stuck(later, 1000)
    assert not busy([b"alone"]).is_stuck(time.monotonic_ns() + 1_000_000, 1000)


# -- both sides at once ----------------------------------------------------------------------------------------------


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places after a few microseconds instead of five milliseconds."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_each_task_is_started_or_given_back_however_the_two_sides_meet() -> None:
    chance = random.Random(5)
    slot = Board(1).slots[0]
    entries = [b"%d" % n for n in range(40)]
    met = turn = 0
    while met < 20:
        turn += 1
        assert turn < 20_000, "the two sides hardly ever met"
        slot.clear()
        slot.enter(f"host:{turn}", time.monotonic_ns() + HOUR_NS)
        slot.begin(turn, 0, entries, alone=False)
        started: list[bytes] = []
        given_back: list[bytes] = []
        settled: list[bytes] = []

        def child(
            started: list[bytes] = started, given_back: list[bytes] = given_back, settled: list[bytes] = settled
        ) -> None:
            last = b""
            for entry in entries:
                claimed, last = start(slot, last), b""
                if not claimed:
                    break
                started.append(entry)
                last = entry
            verdicts, unstarted = close(slot, last)
            settled.extend(entries_in(verdicts))
            given_back.extend(entries[len(entries) - unstarted :])

        thread = threading.Thread(target=child)
        thread.start()
        for _ in range(chance.randrange(2000)):
            pass
        batch = slot.revoke()
        thread.join()
        if batch is not None:
            met += 0 < batch.started < len(entries)
            settled.extend(entries_in(batch.verdicts))
            given_back.extend(batch.entries[batch.started :])
        assert started + given_back == entries, f"turn {turn}: each is started or given back"
        assert sorted(settled) == sorted(started), f"turn {turn}: what was started is settled once"


# -- meters ----------------------------------------------------------------------------------------------------------


def test_meters_add_up_over_children_and_outlive_them() -> None:
    here = Board(2)
    for slot in here.slots:
        meter = Meters(slot, ["a", "b"])
        meter("b")("success", 0.003)
        meter("b")("failed", 1000.0)
    here.slots[0].clear()
    Meters(here.slots[0], ["a", "b"])("b")("retry", 0.02)
    reading = read_meters(here, 1)
    assert dict(zip(STATUSES, reading.statuses, strict=True)) == {"success": 2, "retry": 1, "failed": 2}
    assert sum(reading.buckets) == 5
    assert (reading.buckets[0], reading.buckets[-1], len(reading.buckets)) == (2, 2, len(BUCKETS) + 1)
    assert abs(reading.sum_s - 2000.026) < 1e-6
    assert sum(read_meters(here, 0).statuses) == 0


def test_more_types_than_there_is_room_for_share_the_last_place() -> None:
    here = Board(1)
    names = [f"type-{n}" for n in range(TYPES + 5)]
    meter = Meters(here.slots[0], names)
    for name in names[-3:]:
        meter(name)("success", 0.001)
    assert read_meters(here, TYPES).statuses[0] == read_meters(here, TYPES + 4).statuses[0] == 3
