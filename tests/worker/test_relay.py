"""The hand of a loop: one seat begins, and what another has run is noted, in one turn."""

from __future__ import annotations

import time

from distq.worker.board import VERDICT_BYTES, Board
from distq.worker.relay import Relay
from tests.worker.test_hand import HOUR_NS, done, entries_in, items, revoke, slot_of, told


def relay(entries: list[bytes]) -> Relay:
    """Seat 0 runs the first of them."""
    slot = Board(1).slots[0]
    slot.clear()
    hand = Relay(slot, 3)
    hand.enter("host:1:x", time.monotonic_ns() + HOUR_NS)
    hand.settled(items(entries))
    assert hand.start(0, time.monotonic_ns())
    return hand


def follow(hand: Relay, seat: int, former: int, last: bytes, size: int = 0) -> bytes | None:
    item = hand.follow(seat, time.monotonic_ns(), former, done(last, size))
    return item and item[0]


def test_the_next_one_runs_and_the_former_is_finished_and_its_seat_free() -> None:
    hand = relay([b"a", b"b", b"c"])
    assert hand.is_settled
    assert follow(hand, 1, 0, b"a") == b"b"
    held = told(hand)
    assert (held.started, held.waiting, entries_in(held.verdicts)) == ([b"b"], [b"c"], [b"a"])
    assert not hand.is_settled
    assert follow(hand, 0, 1, b"b") == b"c", "in the seat of the one before"
    assert follow(hand, 1, 0, b"c") is None
    assert entries_in(hand.collect(0, 1)) == [b"a", b"b", b"c"]
    hand.settled()
    assert hand.is_empty


def test_what_was_taken_away_does_not_begin_and_the_former_is_finished_all_the_same() -> None:
    hand = relay([b"a", b"b"])
    (held,) = revoke(hand)
    assert (held.started, held.waiting) == ([b"a"], [b"b"])
    assert follow(hand, 1, 0, b"a") is None
    assert entries_in(hand.collect(0, 1)) == [b"a"]
    assert not any(hand.running)


def test_a_verdict_for_which_the_board_has_no_room_keeps_its_seat_until_a_step_carries_it() -> None:
    hand = relay([b"a", b"b", b"c"])
    assert follow(hand, 1, 0, b"a", VERDICT_BYTES) is None, "that is to be settled first"
    assert told(hand).started == [b"a"]
    assert follow(hand, 0, 1, b"") is None
    assert hand.collect(0, 1).number == 1
    hand.settled()
    assert slot_of(hand).running() == []
    item = hand.start(0, time.monotonic_ns())
    assert item is not None
    assert item[0] == b"b"
