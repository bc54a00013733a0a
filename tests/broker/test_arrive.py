"""arrive: none -> queued | scheduled."""

from __future__ import annotations

import struct

import pytest

from distq import message
from distq.broker import transfer
from distq.broker.transfer import Departed
from tests.support.arrows import arrow
from tests.support.room import Room, completed


def come(room: Room, id: str, due: int = 0, type: str = "job") -> str:
    raw = struct.pack(">dd", room.now_ms(), 0) + message.head(type, 2, 600) + b"\x91\x90"
    [word] = room.run(transfer.arrive(room.prefix, "t1", [(id, Departed("moved", raw, due, [b"\x80", b"\x80"]))]))
    return word


@arrow("none", "queued", "arrive")
@arrow("none", "scheduled", "arrive")
@pytest.mark.parametrize("delay", [0, 3_600_000])
def test_what_is_expected_is_alive_from_then_on_once(room: Room, delay: int) -> None:
    room.run(transfer.expect(room.prefix, "t1", "other", ["a"]))
    due = room.now_ms() + delay if delay else 0
    assert [come(room, "a", due), come(room, "a", due)] == ["arrived", "arrived"]
    assert (room.where("a"), len(room.attempts("a")), room.ledger()) == (
        "scheduled" if delay else "queued", 2, {"arrived job": 1},
    )  # fmt: skip
    room.pass_time(delay + 1)
    worker = room.register()
    room.step(worker, 0, [completed(room.hold(worker, "a"))])
    assert come(room, "a", due) == "arrived", "not even after its end"
    room.run(transfer.conclude(room.prefix, "t1", ["a"]))
    assert come(room, "a", due) == "gone"
    assert room.where("a") == "completed"


def test_what_nobody_expects_is_gone(room: Room) -> None:
    assert come(room, "a") == "gone"
    assert room.where("a") == "none"


def test_one_that_was_here_before_lives_again(room: Room) -> None:
    """Its ghost is still in the list; and it is limited here."""
    room.enqueue(id="a", token="1", type="mail", limit="1000 5")
    room.cancel("a")
    room.run(transfer.expect(room.prefix, "t1", "other", ["a"]))
    assert come(room, "a", type="mail") == "arrived"
    assert (room.where("a"), room.entry_of("a") != "a") == ("queued", True)
    room.run(transfer.conclude(room.prefix, "t1", ["a"]))
