"""A child's hand and the status board: a task is started by the child or given back by the supervisor, never both,
never neither; and whatever the child does, the board tells its supervisor what it holds."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from distq.broker.verbs import Held
from distq.broker.verdicts import NO_VERDICTS, Verdicts, verdict
from distq.run_times import BUCKETS, STATUSES
from distq.worker.board import TYPES, VERDICT_BYTES, Board, Slot
from distq.worker.hand import Hand, Item
from distq.worker.meters import Meters, read_meters
from tests.support.eventually import eventually

ENTRIES = [b"a", b"b 2", b"c"]
HOUR_NS = 3_600_000_000_000


def done(entry: bytes, size: int = 0) -> bytes:
    """A verdict; `size` makes it larger."""
    return verdict(entry, b"complete", b"job", 600_000, bytes(size))


def entries_in(verdicts: Verdicts) -> list[bytes]:
    """Whose verdicts these are."""
    found = re.findall(rb"\$\d+\r\n([^\r]*)\r\n\$\d+\r\ncomplete", verdicts.items)
    assert len(found) == verdicts.number
    return found


def items(entries: list[bytes], queue: int = 0) -> list[Item]:
    return [(entry, b"", 0, queue, time.monotonic_ns()) for entry in entries]


def busy(entries: list[bytes] = ENTRIES, seats: int = 1) -> Hand:
    """The hand of a child that has registered and fetched these."""
    slot = Board(1).slots[0]
    slot.clear()
    hand = Hand(slot, seats)
    hand.enter("host:1:x", time.monotonic_ns() + HOUR_NS)
    hand.settled(items(entries))
    return hand


def slot_of(hand: Hand) -> Slot:
    return hand._slot


def start(hand: Hand, last: bytes = b"", seat: int = 0) -> bytes | None:
    """Starts the next task: its entry. `last` is what the seat has run before; its verdict is noted with it."""
    item = hand.start(seat, time.monotonic_ns(), done(last) if last else b"")
    return item and item[0]


def end(hand: Hand, last: bytes, seat: int = 0) -> None:
    hand.end(seat, time.monotonic_ns(), done(last))


def revoke(hand: Hand) -> list[Held]:
    """What the supervisor takes away."""
    return slot_of(hand).revoke(slot_of(hand).name)


def told(hand: Hand) -> Held:
    """What the supervisor sees, of the one queue."""
    (held,) = slot_of(hand).autopsy()
    return held


# -- one side alone --------------------------------------------------------------------------------------------------


def test_a_batch_that_was_run_leaves_all_verdicts_and_nothing_to_give_back() -> None:
    hand = busy()
    assert (start(hand), start(hand, b"a"), start(hand, b"b 2")) == (b"a", b"b 2", b"c")
    assert start(hand, b"c") is None
    assert hand.give_back(0) == []
    assert hand.collect(0, 7) == (3, b"".join(map(done, ENTRIES)))
    hand.settled()
    assert hand.is_empty
    assert slot_of(hand).autopsy() == []


def test_the_supervisor_takes_what_is_finished_and_what_is_not_started_from_a_busy_child() -> None:
    hand = busy()
    start(hand)
    assert start(hand, b"a") == b"b 2"
    (held,) = revoke(hand)
    assert (held.started, held.waiting, held.verdicts) == ([b"b 2"], [b"c"], (1, done(b"a")))
    assert revoke(hand) == [], "it is not taken twice"
    assert start(hand, b"b 2") is None, "what was taken away is not started"
    assert hand.collect(0, 7) == (1, done(b"b 2")), "only what nobody has taken"
    assert hand.give_back(0) == []


def test_what_a_child_has_given_back_or_sent_is_not_taken_away() -> None:
    hand = busy()
    start(hand)
    end(hand, b"a")
    assert [item[0] for item in hand.give_back(0)] == [b"b 2", b"c"]
    assert hand.collect(0, 7) == (1, done(b"a"))
    assert revoke(hand) == [Held(0, [], [], NO_VERDICTS, 7, 0, flying=[b"a"])]


def test_nothing_starts_when_the_lease_is_over_until_it_is_renewed() -> None:
    hand = busy()
    now = time.monotonic_ns()
    slot_of(hand).extend(now - 1)
    assert hand.start(0, now) is None
    slot_of(hand).extend(now + 1000)
    assert hand.start(0, now) is not None
    slot_of(hand).stop_starting()
    assert hand.start(0, now, done(b"a")) is None
    assert told(hand).verdicts == (1, done(b"a")), "the verdict is noted all the same"
    assert [item[0] for item in hand.give_back(0)] == [b"b 2", b"c"], "what was not started is still to be given back"


def test_a_dead_child_leaves_what_ran_what_waits_and_the_verdicts_that_nobody_took() -> None:
    hand = busy()
    start(hand)
    start(hand, b"a")
    assert told(hand) == Held(0, [b"b 2"], [b"c"], Verdicts(1, done(b"a")), 0, 0)
    revoke(hand)
    assert told(hand) == Held(0, [b"b 2"], [], NO_VERDICTS, 0, 0), "they were taken"


def test_of_a_child_that_died_with_a_step_on_its_way_the_board_tells_what_it_carried() -> None:
    hand = busy(seats=2)
    start(hand)
    start(hand, seat=1)
    assert start(hand, b"a") == b"c"
    assert hand.collect(0, 7) == (1, done(b"a"))
    end(hand, b"b 2", seat=1)
    held = told(hand)
    assert (held.step, held.doubtful, held.verdicts) == (7, 1, (2, done(b"a") + done(b"b 2")))
    assert held.started == [b"c"]
    hand.settled()
    assert told(hand) == Held(0, [b"c"], [], Verdicts(1, done(b"b 2")), 7, 0)


def test_the_supervisor_takes_nothing_that_a_step_carries() -> None:
    hand = busy(seats=2)
    start(hand)
    start(hand, seat=1)
    end(hand, b"a")
    hand.collect(0, 7)
    end(hand, b"b 2", seat=1)
    (held,) = revoke(hand)
    assert (held.verdicts, held.doubtful, held.waiting) == ((1, done(b"b 2")), 0, [b"c"])


def test_what_a_step_brings_to_a_child_that_was_revoked_meanwhile_is_not_started_but_released() -> None:
    """Its supervisor has given that back, unless it came before the step: then the child has to."""
    hand = busy([b"a", b"b", b"c"])
    start(hand)
    start(hand, b"a")
    hand.collect(0, 7)
    (held,) = revoke(hand)
    assert (held.started, held.waiting, held.step, held.flying) == ([b"b"], [b"c"], 7, [b"a"])
    assert [held.flying for held in slot_of(hand).revoked("host:1:x")] == [[b"a"]]
    hand.settled(items([b"d"]))
    assert start(hand, b"b") is None
    assert hand.unsettled == 2
    assert [item[0] for item in hand.take_dropped(0)] == [b"d"]
    assert slot_of(hand).revoked("host:1:x") == []
    assert hand.collect(0, 8) == (1, done(b"b"))
    hand.settled(items([b"e"]))
    assert start(hand) == b"e", "what is reserved afterwards is the child's"


def test_verdicts_of_several_queues_are_told_apart() -> None:
    hand = busy([b"a", b"b"], seats=3)
    hand.settled(items([b"x"], queue=1))
    for seat, entry in enumerate((b"a", b"b", b"x")):
        assert start(hand, seat=seat) == entry
    for seat, entry in enumerate((b"a", b"x")):
        end(hand, entry, seat=seat * 2)
    assert hand.has_unsettled(1)
    assert hand.collect(1, 4) == (1, done(b"x"))
    first, second = slot_of(hand).autopsy()
    assert first == Held(0, [b"b"], [], Verdicts(1, done(b"a")), 4, 0)
    assert second == Held(1, [], [], Verdicts(1, done(b"x")), 4, 1, flying=[b"x"])
    hand.settled()
    assert not hand.has_unsettled(1)
    assert hand.collect(0, 9) == (1, done(b"a"))


def test_what_ran_under_a_name_that_is_lost_is_void() -> None:
    hand = busy()
    start(hand)
    hand.enter("host:1:y", time.monotonic_ns() + HOUR_NS)
    assert [held.queue for held in slot_of(hand).autopsy()] == [255], "it still runs here, and is nobody's"
    assert start(hand, b"a") is None, "what waited is not its any more"
    assert hand.collect(0, 0) == NO_VERDICTS
    assert hand.is_empty


def test_a_verdict_for_which_there_is_no_room_goes_along_with_the_next_step() -> None:
    hand = busy()
    large, larger = done(b"a", VERDICT_BYTES - 1000), done(b"b 2", 2000)
    start(hand)
    assert hand.start(0, time.monotonic_ns(), large) is not None
    assert hand.start(0, time.monotonic_ns(), larger) is None, "nothing starts before there is room"
    assert told(hand).started == [b"b 2"], "for its supervisor it runs until then: else it would be given back"
    assert hand.collect(0, 7) == (2, large + larger)
    hand.settled()
    assert start(hand) == b"c"


def test_the_board_has_room_for_every_task_however_many_were_started_before() -> None:
    hand = busy([], seats=4)
    ids = [b"%0398d" % number for number in range(5000)]
    for at in range(0, len(ids), 100):
        hand.settled(items(ids[at : at + 100]))
        for number in range(at, at + 100):
            assert start(hand, ids[number - 4] if number >= 4 else b"", seat=number % 4) == ids[number]
        assert sorted(told(hand).started) == ids[at + 96 : at + 100]
        hand.collect(0, at)
    hand.settled()


def test_a_lock_that_died_with_its_child_is_free_for_the_next_one() -> None:
    hand = busy()
    slot = slot_of(hand)
    assert slot.lock.acquire()
    assert slot.revoke(slot.name) == [], "the supervisor never waits for it"
    slot.clear()
    Hand(slot).enter("host:2:y", time.monotonic_ns() + HOUR_NS)
    assert slot.name == "host:2:y"
    assert slot.autopsy() == []


def test_a_child_is_stuck_when_something_waits_for_long_and_was_not_taken_away() -> None:
    hand, later = busy(), time.monotonic_ns() + 1_000_000
    assert slot_of(hand).is_stuck(later, 1000)
    assert not slot_of(hand).is_stuck(later, HOUR_NS)
    revoke(hand)
    assert not slot_of(hand).is_watched, "there is nothing to look at until it goes on"
    assert not slot_of(hand).is_stuck(later, 1000)
    assert not slot_of(busy([b"alone"])).is_stuck(time.monotonic_ns() + 1_000_000, 1000)


def test_with_several_threads_it_is_stuck_only_while_something_waits() -> None:
    hand = busy([b"a", b"b"], seats=2)
    later = time.monotonic_ns() + HOUR_NS
    assert slot_of(hand).is_stuck(later, 1000)
    start(hand)
    start(hand, seat=1)
    assert not slot_of(hand).is_stuck(later, 1000), "all of it runs"
    end(hand, b"a")
    assert slot_of(hand).is_stuck(later, 1000), "a verdict waits"
    hand.collect(0, 1)
    hand.settled()
    assert not slot_of(hand).is_stuck(later, 1000)


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
        hand = Hand(slot)
        hand.enter(f"host:{turn}", time.monotonic_ns() + HOUR_NS)
        hand.settled(items(entries))
        started: list[bytes] = []
        given_back: list[bytes] = []
        settled: list[bytes] = []

        def child(
            hand: Hand = hand,
            started: list[bytes] = started,
            given_back: list[bytes] = given_back,
            settled: list[bytes] = settled,
        ) -> None:
            entry = start(hand)
            while entry is not None:
                started.append(entry)
                entry = start(hand, entry)
            given_back.extend(item[0] for item in hand.give_back(0))
            settled.extend(entries_in(hand.collect(0, 1)))

        thread = threading.Thread(target=child)
        thread.start()
        for _ in range(chance.randrange(2000)):
            pass
        taken = slot.revoke(slot.name)
        thread.join()
        for held in taken:
            met += 0 < len(held.waiting) < len(entries)
            settled.extend(entries_in(held.verdicts))
            given_back.extend(held.waiting)
        assert started + given_back == entries, f"turn {turn}: each is started or given back"
        assert sorted(settled) == sorted(started), f"turn {turn}: what was started is settled once"


def work_until_killed(hand: Hand, seats: int) -> None:
    """Threads that end and start tasks, and one that settles and fetches, as in a process with several threads."""
    guard, numbers = threading.Lock(), itertools.count()
    sys.setswitchinterval(1e-6)

    def labour(seat: int) -> None:
        last = b""
        while True:
            with guard:
                item = hand.start(seat, time.monotonic_ns(), last and done(last, 20_000))
            last = item[0] if item else b""

    for seat in range(seats):
        threading.Thread(target=labour, args=(seat,), daemon=True).start()
    for step in itertools.count():
        with guard:
            hand.collect(step % 2, step)
        with guard:
            new = [b"%d" % next(numbers) * 3 for _ in range(5 + step % 7)]
            hand.settled(items(new, queue=step % 2) if len(hand.waiting) < 50 else ())


def test_whenever_a_child_is_killed_its_board_can_be_read() -> None:
    chance, verdicts = random.Random(3), 0
    for turn in range(100):
        slot = Board(1).slots[0]
        slot.clear()
        hand = Hand(slot, 4)
        hand.enter(f"host:{turn}", time.monotonic_ns() + HOUR_NS)
        pid = os.fork()
        if pid == 0:
            work_until_killed(hand, 4)
        eventually(lambda slot=slot: any(slot.seats), "it works", every=0.001)  # type: ignore[misc]
        time.sleep(chance.uniform(0.005, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for held in slot.autopsy():
            assert held.queue in (0, 1)
            verdicts += len(entries_in(held.verdicts))
            assert held.doubtful <= held.verdicts.number
            assert all(re.fullmatch(rb"[0-9]+", entry) for entry in (*held.started, *held.waiting))
            assert len(held.started) <= 4
    assert verdicts > 100


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
