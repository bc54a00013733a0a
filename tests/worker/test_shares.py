"""How many of a type a process has room for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from distq.message import head, type_of
from distq.worker.hand import Hand, Item
from distq.worker.shares import Share, Shares

PDF = Share("gpdf", ("pdf", "pdf@2"), 2, "default")
VIDEO = Share("gvideo", ("video",), 1, "media")


def message(type: str) -> bytes:
    return bytes(16) + head(type, 1, None) + b"body"


def hand(*items: Item) -> Hand:
    return cast("Hand", SimpleNamespace(running=[None, *items[:1]], waiting=items[1:]))


def test_the_type_of_whatever_bytes() -> None:
    assert [type_of(raw) for raw in (message("pdf@2"), b"", bytes(27), message("pdf")[:28])] == ["pdf@2", "", "", "p"]


def test_what_is_held_takes_room_until_it_is_not_held_any_more() -> None:
    shares = Shares([PDF, VIDEO])
    assert shares.told("all") == "all gpdf=2=pdf,pdf@2 gvideo=1=video"
    shares.take([b"a", b"b", b"c", b"d"], [message(type) for type in ("pdf", "mail", "pdf@2", "video")], 7)
    assert shares.told("all") == "all gpdf=0=pdf,pdf@2 gvideo=0=video"
    assert shares.full == {"gpdf", "gvideo"}
    a, c, d = (b"a", b"", 7, 0, 0), (b"c", b"", 9, 0, 0), (b"d", b"", 10, 0, 0)
    assert not shares.look(hand(a, c, d))
    assert shares.look(hand(c, d)), "there is room again"
    assert shares.free == {"gpdf": 1}
    assert not shares.look(hand(c, d)), "as there was before"
    assert shares.look(hand())
    assert shares.free == {"gpdf": 2, "gvideo": 1}


def test_the_same_task_under_an_older_fence_has_room_of_its_own() -> None:
    shares = Shares([PDF])
    shares.take([b"a"], [message("pdf")], 1)
    shares.take([b"a"], [message("pdf")], 2)
    assert shares.free == {}
    assert shares.look(hand((b"a", b"", 2, 0, 0)))
    assert shares.free == {"gpdf": 1}


def test_it_has_a_lane_at_once_in_its_own_queue_and_the_partitions_of_that() -> None:
    shares = Shares([PDF, VIDEO])
    assert [share[:2] for share in shares.at("distq:{shop/media/3}:")] == [("gpdf", False), ("gvideo", True)]
    assert not Shares()
