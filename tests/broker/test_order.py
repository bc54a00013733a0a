"""order: a host's supervisor is told; nothing else is touched."""

from __future__ import annotations

import pytest

from distq.broker import orders
from tests.support.room import Room


def test_a_host_that_is_there_is_told(room: Room) -> None:
    """From its first worker on: it need not have renewed anything yet."""
    room.register()
    assert room.run(orders.order(room.prefix, "host", "quiet")) == "ordered"
    assert room.redis.zrange(room.key("CONTROL", "host"), 0, -1) == [b"quiet"]
    assert 0 < room.redis.pttl(room.key("CONTROL", "host")) <= 60_000


@pytest.mark.parametrize("host", ["nobody", "", "*", "host} x"])
def test_a_host_that_is_not_there_changes_nothing(room: Room, host: str) -> None:
    room.redis.zadd(room.key("HOSTS"), {"host": room.now_ms() + 15_000})
    before = room.snapshot()
    assert room.run(orders.order(room.prefix, host, "stop")) == "unknown"
    assert room.snapshot() == before
