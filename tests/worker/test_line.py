"""A worker's line to the broker: replies that are lost, a broker that is away, a supervisor that calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from distq.broker import verbs
from distq.broker.connect import Wire
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.errors import BrokerUnavailable, LayoutMismatch
from distq.worker.board import DRAIN, QUIT, RUN
from distq.worker.line import Announced, Ended, Line
from tests.support.eventually import eventually
from tests.support.room import Room, completed

ROOM = 1 << 20


class Post:
    """What a supervisor would give to the line."""

    def __init__(self, room: Room) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.order = RUN
        self.line = Line(
            room.url,
            [room.prefix],
            "host",
            "{}",
            15_000,
            Announced(["job"], "job", [{}]),
            self.reader,
            lambda: self.order,
        )

    def close(self) -> None:
        self.line.drop()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def post(room: Room) -> Iterator[Post]:
    post = Post(room)
    post.line.register("all")
    yield post
    post.close()


@pytest.fixture
def lose_reply(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the next reply get lost: the command arrives, the connection breaks before the answer is read."""

    def arm() -> None:
        read = Wire.read

        def lost(self: Wire, timeout: float | None = None) -> Any:
            read(self, timeout)
            monkeypatch.setattr(Wire, "read", read)
            self.close()
            raise BrokerUnavailable("lost")

        monkeypatch.setattr(Wire, "read", lost)

    return arm


def test_a_step_whose_reply_is_lost_reserves_once_and_settles_once(
    room: Room, post: Post, lose_reply: Callable[[], None]
) -> None:
    ids = [room.enqueue() for _ in range(10)]
    lose_reply()
    step = post.line.step(0, 4, ROOM, NO_VERDICTS)
    assert [entry.decode() for entry in step.entries] == ids[:4]
    assert len(room.lists()[room.key("PROCESSING", post.line.name)]) == 4
    lose_reply()
    done = Verdicts(4, b"".join(completed(id, 1) for id in ids[:4]))
    step = post.line.step(0, 4, ROOM, done)
    assert (step.word, [entry.decode() for entry in step.entries]) == ("ok", ids[4:8])
    assert room.ledger()["completed job"] == 4
    assert [room.where(id) for id in ids] == ["completed"] * 4 + ["active"] * 4 + ["queued"] * 2


def test_a_wait_whose_reply_is_lost_reserves_once(room: Room, post: Post, lose_reply: Callable[[], None]) -> None:
    ids = [room.enqueue() for _ in range(3)]
    lose_reply()
    queue, step = post.line.wait(2, ROOM)
    assert queue == 0
    assert step is not None
    assert [entry.decode() for entry in step.entries] == ids[:2]
    assert [room.where(id) for id in ids] == ["active", "active", "queued"]


def test_a_wait_ends_when_something_becomes_runnable_and_brings_it(room: Room, post: Post) -> None:
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(post.line.wait(5, ROOM)))
    waiter.start()
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 1, "it blocks")
    id = room.enqueue()
    waiter.join(10)
    ((queue, step),) = found
    assert (queue, [entry.decode() for entry in step.entries]) == (0, [id])


@pytest.mark.parametrize("takes", ["all", "only"])
def test_a_wait_ends_when_a_suspect_becomes_runnable(room: Room, post: Post, takes: verbs.Takes) -> None:
    post.line.register(takes)
    dying = room.register()
    id = room.enqueue()
    room.hold(dying, id)
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(post.line.wait(5, ROOM)))
    waiter.start()
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 1, "it blocks")
    room.recover(dying, "died", started=[id.encode()])
    waiter.join(10)
    ((queue, step),) = found
    assert (queue, step.alone, [entry.decode() for entry in step.entries]) == (0, 1, [id])


@pytest.mark.parametrize("order", [DRAIN, QUIT])
def test_a_supervisor_that_calls_ends_a_wait_at_once(room: Room, post: Post, order: int) -> None:
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(post.line.wait(5, ROOM)))
    waiter.start()
    eventually(lambda: room.redis.info("clients")["blocked_clients"] == 1, "it blocks")
    post.order = order
    os.write(post.writer, b"p")
    waiter.join(10)
    assert found == [(None, None)]


def test_a_call_without_a_reason_costs_no_reservation(room: Room, post: Post) -> None:
    """The step may or may not have been run behind the marker that came meanwhile: nothing is stranded."""
    os.write(post.writer, b"p")
    ids = [room.enqueue() for _ in range(2)]
    queue, step = post.line.wait(5, ROOM)
    assert queue == 0
    assert step is not None
    assert [entry.decode() for entry in step.entries] == ids


def test_leaving_gives_back_everything_in_its_order(room: Room, post: Post) -> None:
    ids = [room.enqueue() for _ in range(120)]
    assert len(post.line.step(0, 100, ROOM, NO_VERDICTS).entries) == 100
    post.line.leave()
    assert room.lists()[room.key("QUEUE", "default")] == ids
    post.line.register("all")
    assert len(post.line.step(0, 1, ROOM, NO_VERDICTS).entries) == 1


def test_a_worker_that_was_reaped_gets_nothing_more_under_its_name(room: Room, post: Post) -> None:
    id = room.enqueue()
    post.line.step(0, 1, ROOM, NO_VERDICTS)
    room.run(verbs.recover(room.prefix, post.line.name, "lost"))
    step = post.line.step(0, 1, ROOM, Verdicts(1, completed(id, 1)))
    assert (step.word, step.entries) == ("gone", [])
    assert room.where(id) == "queued"
    old = post.line.name
    post.line.register("all")
    assert post.line.name != old


def test_a_line_waits_for_a_broker_that_is_away_until_its_supervisor_wants_it_to_end(
    room: Room, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def away(self: Wire, *args: Any, **kwargs: Any) -> None:
        tried.append(1)
        if len(tried) == 3:
            post.order = QUIT
        raise BrokerUnavailable("away")

    post.line.drop()
    monkeypatch.setattr(Wire, "__init__", away)
    with pytest.raises(Ended):
        post.line.step(0, 1, ROOM, NO_VERDICTS)
    assert len(tried) == 3


def test_another_layout_in_the_broker_is_refused(room: Room) -> None:
    room.redis.hset(room.key("META"), "layout", "99")
    post = Post(room)
    with pytest.raises(LayoutMismatch, match="99"):
        post.line.register("all")
    post.close()
    room.redis.delete(room.key("META"))
