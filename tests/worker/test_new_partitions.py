"""Partitions that a host's application does not declare: served from the start, or named in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from distq.broker import keys
from distq.supervisor.partitions import LOOK_S, Partitions, served
from distq.supervisor.service import Site
from tests.support.room import Room


def know(room: Room, *queues: str) -> None:
    room.redis.sadd(keys.KNOWN_QUEUES, *(keys.known_queue("app", queue) for queue in queues))


def test_what_the_broker_knows_of_a_served_queue_is_served(room: Room) -> None:
    know(room, "bulk", "bulk/1", "bulk/3", "mail/1")
    room.redis.sadd(keys.KNOWN_QUEUES, keys.known_queue("other", "bulk/7"))
    assert served(room.url, "app", ["default", "bulk", "bulk/1"]) == ["default", "bulk", "bulk/1", "bulk/3"]
    assert served(room.url, "app", ["bulk/1"]) == ["bulk/1"], "who names one partition gets just that"


def test_later_ones_are_named_once(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    def submit(command: bytes, answer: Callable[[Any], None], refused: Callable[[], None]) -> None:
        answer(room.wire.request(command))

    site = SimpleNamespace(queues=["default", "bulk"], link=SimpleNamespace(submit=submit))
    partitions = Partitions(cast("Site", site), "app")
    assert room.redis.smembers(keys.KNOWN_QUEUES) == {b"app/default", b"app/bulk"}
    know(room, "bulk/1", "bulk/2", "mail/1")
    now = time.monotonic()
    assert now < partitions.deadline() <= now + LOOK_S
    for minute in (1, 2):
        partitions.work(now + minute * (LOOK_S + 1))
    assert caplog.text.count("there are new partitions: bulk/1, bulk/2;") == 1
