"""Keys that no release of ours has written: what cannot be read is shown as nothing, and is no error of the server."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.server.test_operating import listen, next_event
from tests.support.room import Room
from tests.support.web import Web

GARBAGE = [b"\xff\xfe\x00", b"9" * 400, b"nan", b"\x81\xa2by\x93\xc0\xc0\xc0"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_nobody_can_read_is_no_error(web: Web, room: Room, garbage: bytes) -> None:
    id = web.task("geo", "ann")
    for field in ("enqueued add", "geo", "high"):
        room.redis.hset(room.key("LEDGER"), field, garbage)
    for name in ("PAUSED", "OVERRIDES", "LIMITS", "FLOWS", "BUDGETS"):
        room.redis.hset(room.key(name), mapping={"geo": garbage, "geo ann": garbage, "model": garbage})
    for bucket in ("model!1 ann", "model! ann", "geo ann", "maps!1 ", "maps! "):
        room.redis.set(room.key("BUCKET", bucket), garbage)
    room.redis.set(room.key("STOPPED"), garbage)
    room.redis.zadd(room.key("LEASES"), {garbage: 9e15})
    paths = (
        f"tasks/{id}",
        f"tasks/{id}/why",
        "stats",
        "pauses",
        "limits",
        "budgets",
        "budgets/model?key=ann",
        "workers",
    )
    for path in paths:
        answer = web.get(f"/api/v1/{path}")
        assert answer.status in (200, 503), (path, answer)
    with ExitStack() as stack:
        assert next_event(listen(web, stack))[0] == "stats"
    room.redis.flushall()
