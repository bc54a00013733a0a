"""Batches in a worker, without a broker: what runs together, what becomes of each, what the board says meanwhile."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from distq import Batch, BatchFailed, Context, Distq, Reject, Retry, Snooze, current, message
from distq.middleware import AttemptCall
from distq.worker.attempts import Attempts
from distq.worker.board import Board
from distq.worker.hand import Hand, Item, Unit, flat
from distq.worker.units import Units, grouped, sizes
from tests.support.seats import Given
from tests.worker.test_attempts import read
from tests.worker.test_hand import done, entries_in

HOUR_NS = 3_600_000_000_000


def make(app: Distq, *values: Any, type: str = "it", key: str = "", attempt: int = 0) -> list[Item]:
    """Calls as the broker hands them over."""
    front = struct.pack(">dd", time.time() * 1000, 0)
    head = message.head(type, 1, 600, 0, msgpack.packb({"k": key}))
    head = head[:4] + struct.pack(">H", attempt) + head[6:]
    bodies = [app.codec.pack_call((value,), {}) for value in values]
    return [(b"%s.%s" % (key.encode(), str(n).encode()), front + head + body, n, 0, 0) for n, body in enumerate(bodies)]


def ends(handler: Callable[[list[Any]], Any], *values: Any, retries: int = 0, **more: Any) -> list[tuple[str, Any]]:
    """(word, value or type of the error) of each item."""
    app = Distq("app")
    app.task(type="it", batch=Batch(10), retries=retries, **more)(handler)
    unit = Unit.of(make(app, *values))
    _, verdicts, _ = Units(app, lambda: "worker", None).run_unit("default", unit, time.monotonic_ns())
    assert isinstance(verdicts, list)
    return [short(verdict) for verdict in verdicts]


def short(verdict: bytes) -> tuple[str, Any]:
    word, found = read(verdict)
    return word, found["type"] if isinstance(found, dict) and "traceback" in found else found


def raises(error: BaseException) -> Callable[[list[Any]], Any]:
    def handler(items: list[Any]) -> Any:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "wanted"),
    [
        (lambda items: None, [("complete", None)] * 3),
        (lambda items: [item * 2 for item in items], [("complete", 2), ("complete", 4), ("complete", 6)]),
        (lambda items: (1, ValueError("x"), None), [("complete", 1), ("bury", "ValueError"), ("complete", None)]),
        (lambda items: [1, 2], [("bury", "Reject")] * 3),
        (lambda items: 5, [("bury", "Reject")] * 3),
        (raises(KeyError("all")), [("bury", "KeyError")] * 3),
        (raises(BatchFailed({1: KeyError("x")})), [("complete", None), ("bury", "KeyError"), ("complete", None)]),
        (raises(BatchFailed({3: KeyError("x")})), [("bury", "Reject")] * 3),
        (raises(BatchFailed({0: Snooze(5), 2: Reject("no")})),
         [("snooze", None), ("complete", None), ("bury", "Reject")]),
        (lambda items: [object(), 2, 3], [("bury", "distq.errors.NotSerializable"), ("complete", 2), ("complete", 3)]),
    ],
)  # fmt: skip
def test_what_becomes_of_each(handler: Callable[[list[Any]], Any], wanted: list[tuple[str, Any]]) -> None:
    assert ends(handler, 1, 2, 3) == wanted


def test_each_is_tried_again_by_its_own_count() -> None:
    app = Distq("app")
    app.task(type="it", batch=Batch(10), retries=2, backoff=7)(raises(Retry("later")))
    items = make(app, "fresh", key="a") + make(app, "tried", key="b", attempt=1) + make(app, "last", attempt=2)
    _, verdicts, _ = Units(app, lambda: "worker", None).run_unit("default", Unit.of(items), time.monotonic_ns())
    assert [short(verdict)[0] for verdict in verdicts if isinstance(verdict, bytes)] == ["retry", "retry", "bury"]


def test_what_cannot_be_read_is_no_item_and_stops_nobody() -> None:
    app = Distq("app")
    seen: list[Any] = []
    app.task(type="it", batch=Batch(10))(seen.append)
    items = make(app, "a", "b", "c")
    items[1] = (items[1][0], items[1][1][:-3] + b"\xc1\xc1\xc1", *items[1][2:])
    _, verdicts, _ = Units(app, lambda: "worker", None).run_unit("default", Unit.of(items), time.monotonic_ns())
    assert [short(verdict)[0] for verdict in verdicts if isinstance(verdict, bytes)] == ["complete", "bury", "complete"]
    assert seen == [["a", "c"]]


def test_current_is_that_of_the_batch_and_middleware_is_around_it_once() -> None:
    around: list[list[str]] = []

    def counting(context: Context, call_next: AttemptCall) -> Any:
        around.append(context.ids)
        return call_next(context)

    app = Distq("app", middleware=[counting])

    @app.task(batch=Batch(10))
    def it(items: list[int]) -> list[Any]:
        for wrong in (lambda: current().progress(1), lambda: current().step("x", len, [])):
            with pytest.raises(Exception, match=r"for one task|in a worker only"):
                wrong()
        return [(one.id, one.attempt) for one in current().items]

    unit = Unit.of(make(app, 1, 2))
    _, verdicts, _ = Units(app, lambda: "worker", None).run_unit("default", unit, time.monotonic_ns())
    assert around == [[".0", ".1"]]
    found = [read(verdict)[1] for verdict in verdicts if isinstance(verdict, bytes)]
    assert len(found) == 2


def test_a_coroutine_and_a_plain_function_on_a_loop() -> None:
    async def run(handler: Any) -> list[tuple[str, Any]]:
        app = Distq("app")
        app.task(type="it", batch=Batch(10), retries=0)(handler)
        seats = Given([Unit.of(make(app, 1, 2))])
        runs = Attempts(app, lambda: "worker", None, asyncio.get_running_loop(), 1, ["default"], seats)
        await runs.attempt(0)
        runs.close()
        return [short(verdict) for verdict in seats.ended[0] if isinstance(verdict, bytes)]

    async def handler(items: list[int]) -> list[Any]:
        await asyncio.sleep(0)
        return [ValueError("x"), items[1]]

    assert asyncio.run(run(handler)) == [("bury", "ValueError"), ("complete", 2)]
    assert asyncio.run(run(lambda items: items)) == [("complete", 1), ("complete", 2)]
    assert asyncio.run(run(raises(BatchFailed({0: KeyError()})))) == [("bury", "KeyError"), ("complete", None)]


def test_together_is_what_stands_together_of_one_type_and_key_up_to_the_size() -> None:
    app = Distq("app")
    app.task(type="it", batch=Batch(3))(lambda items: None)
    app.task(type="other", batch=Batch(3))(lambda items: None)
    a, b = make(app, *range(5), key="a"), make(app, 1, key="b")
    other, plain = make(app, 1, type="other", key="b"), make(app, 1, type="plain")
    found = list(grouped([*a, *b, *other, *plain, *b], sizes(app)))
    assert [len(item.items) if type(item) is Unit else 0 for item in found] == [3, 2, 1, 1, 0, 1]
    assert flat(found) == [*a, *b, *other, *plain, *b]


def busy(units: list[list[bytes]], seats: int = 1) -> Hand:
    slot = Board(1).slots[0]
    slot.clear()
    hand = Hand(slot, seats, has_units=True)
    hand.enter("host:1:x", time.monotonic_ns() + HOUR_NS)
    hand.settled([Unit.of([(entry, b"", 0, 0, time.monotonic_ns()) for entry in unit]) for unit in units])
    return hand


def test_the_board_says_that_all_of_a_unit_has_begun() -> None:
    hand = busy([[b"a", b"b"], [b"c", b"d", b"e"], [b"f"]], seats=2)
    slot = hand._slot
    assert hand.reserved == 6
    hand.start(0, 1)
    hand.start(1, 2)
    (held,) = slot.autopsy()
    assert (held.started, held.waiting) == ([b"a", b"b", b"c", b"d", b"e"], [b"f"])
    assert [(ran.seat, ran.entry, ran.in_batch) for ran in slot.ran()] == [
        (0, b"a", 2), (0, b"b", 2), (1, b"c", 3), (1, b"d", 3), (1, b"e", 3),
    ]  # fmt: skip
    hand._write_entries()
    assert slot.autopsy() == [held]
    hand.end(1, 3, [done(b"c"), done(b"d"), done(b"e")])
    (held,) = slot.autopsy()
    assert (held.started, entries_in(held.verdicts)) == ([b"a", b"b"], [b"c", b"d", b"e"])
    assert entries_in(hand.collect(0, 1)) == [b"c", b"d", b"e"]
    hand.settled()
    assert [item[0] for item in flat(hand.give_back(0))] == [b"f"]
    assert hand.reserved == 5


def test_a_unit_that_waits_is_taken_away_whole() -> None:
    hand = busy([[b"a", b"b"], [b"c", b"d"]])
    hand.start(0, 1)
    (held,) = hand._slot.revoke("host:1:x")
    assert held.waiting == [b"c", b"d"]
    assert hand.start(0, 2, [done(b"a"), done(b"b")]) is None
    assert hand.collect(0, 1).number == 2
    assert hand.reserved == 2


def test_what_runs_when_the_name_is_lost_is_not_settled() -> None:
    hand = busy([[b"a", b"b"]])
    hand.start(0, 1)
    hand.enter("host:1:y", time.monotonic_ns() + HOUR_NS)
    assert [held.started for held in hand._slot.autopsy() if held.queue == 0] == []
    hand.end(0, 2, [done(b"a"), done(b"b")])
    assert hand.unsettled == 0


def test_a_hand_full_of_batches_wants_no_more() -> None:
    hand = busy([[b"%d.%d" % (n, i) for i in range(500)] for n in range(8)], seats=9)
    assert not hand.is_full
    hand.settled([Unit.of([(b"x%d" % i, b"", 0, 0, 0) for i in range(500)])])
    assert hand.is_full
    for seat in range(9):
        hand.start(seat, 1)
    assert len(hand._slot.ran()) == 4500


def test_a_step_carries_no_more_than_scripts_can_take() -> None:
    hand = busy([[b"%d.%d" % (n, i) for i in range(500)] for n in range(3)])
    last: Any = b""
    for n in range(3):
        hand.start(0, 1, last)
        last = [done(b"%d.%d" % (n, i)) for i in range(500)]
    hand.end(0, 2, last)
    assert hand.collect(0, 1).number == 1000
    assert hand._slot.autopsy()[0].verdicts.number == 1500
    hand.settled()
    assert hand.unsettled == 500
    assert hand.collect(0, 2).number == 500
