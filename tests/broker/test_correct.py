"""correct: what breaks the ledger's equation, and how it is made to hold again without hiding that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distq.broker import ledger
from distq.broker.ledger import Tally
from tests.support.room import Room


def tally(room: Room) -> Tally:
    return room.run(ledger.tally(room.prefix))


def correct(room: Room, *types: tuple[str, int, int]) -> list[int]:
    return room.run(ledger.correct(room.prefix, types))


def lose_the_ledger(room: Room) -> None:
    room.redis.delete(room.key("LEDGER"))


def lose_messages(room: Room) -> None:
    room.redis.delete(room.key("TASKS"), room.key("QUEUE", "default"), room.key("WAKE"))


@pytest.mark.parametrize(("lose", "missing"), [(lose_the_ledger, -3), (lose_messages, 3)])
def test_lost_keys_break_it_and_a_correction_is_booked_and_stays_visible(
    room: Room, lose: Callable[[Room], None], missing: int
) -> None:
    for _ in range(3):
        room.enqueue()
    lose(room)
    found = tally(room)
    assert ledger.difference(found) == missing
    alive = ledger.alive(ledger.by_type(found.counts).get("job", {}))
    assert correct(room, ("job", alive, -missing)) == [-missing, 0]
    assert ledger.difference(tally(room)) == 0
    assert room.ledger()["corrected job"] == -missing
    assert correct(room) == [0, 0], "it is in balance: nothing is booked"


def test_a_type_that_has_moved_since_is_not_corrected_and_the_rest_is_booked_for_others(room: Room) -> None:
    room.enqueue()
    lose_messages(room)
    room.enqueue("mail")
    assert correct(room, ("job", 7, -7)) == [0, -1]
    assert ledger.difference(tally(room)) == 0
    assert correct(room, ("job", 1, -1), ("(other)", -1, 1)) == [0, 0], "what was booked so is put right later"
    assert ledger.by_type(room.ledger())["job"] == {"enqueued": 1, "corrected": -1}
