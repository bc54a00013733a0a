"""distq audit: what it says, its exit codes, and what --repair says that it did."""

from __future__ import annotations

from tests.cli.conftest import Shell
from tests.support.room import Room


def test_a_balanced_broker(distq: Shell, shop: Room, mail: Room) -> None:
    shop.cancel(shop.enqueue("add"))
    shop.enqueue("add", delay=3_600_000)
    mail.enqueue("send_email")
    said = distq("audit")
    assert "in balance, and everything is in its place" in said.out
    rows = {words[0]: words[1:] for words in map(str.split, said.out.splitlines()[1:4])}
    assert dict(zip(rows["queue"], rows["default"], strict=True)) == {
        "enqueued": "2", "completed": "0", "dead": "0", "cancelled": "1", "expired": "0",
        "alive": "1", "missing": "0",
    }  # fmt: skip
    assert distq("audit", "--json").json["balanced"] is True
    assert [queue["queue"] for queue in distq("audit", "--queue", "mail", "--json").json["queues"]] == ["mail"]
    assert distq("audit", "myapp:app", "--json").json["application"] == "shop"
    assert "did you mean `mail`" in distq("audit", "-Q", "mial", code=2).err


def test_strays_and_a_difference_are_said_and_mended(distq: Shell, shop: Room) -> None:
    ids = [shop.enqueue("add") for _ in range(9)]
    shop.redis.delete(shop.key("QUEUE", "default"), shop.key("WAKE"))
    shop.redis.hdel(shop.key("TASKS"), *ids[:2])
    said = distq("audit", code=1)
    assert "default: 2 tasks missing by the ledger" in said.out
    assert "default: type add: 9 by the ledger, 7 there" in said.out
    assert "default: 7 tasks are alive, but in no list" in said.out
    assert "… and 2 more" in said.out
    facts = distq("audit", "--json", code=1).json
    assert facts["balanced"] is False
    [queue] = facts["queues"]
    assert queue["missing"] == 2
    assert queue["types"] == {"add": {"by_the_ledger": 9, "there": 7, "exact": True}}
    [stray] = queue["strays"]
    assert (stray["kind"], stray["number"], sorted(stray["names"])) == ("lost", 7, sorted(ids[2:]))
    said = distq("audit", "--repair", code=1)
    assert "mended: 7 of 7" in said.out
    assert "corrected in the ledger: 2 tasks" in said.out
    said = distq("audit")
    assert "corrected" in said.out
    assert "in balance" in said.out


def test_names_that_are_no_text_are_shown_harmlessly(distq: Shell, shop: Room) -> None:
    shop.redis.rpush(shop.key("QUEUE", "low"), b"\xff\x1b[31m")
    shop.redis.zadd(shop.key("WAKE"), {"w": 0})
    for command in (("audit",), ("audit", "--json"), ("audit", "--repair")):
        said = distq(*command, code=1)
        assert "\x1b" not in said.out
    distq("audit")


def test_without_a_broker(outside: Shell) -> None:
    assert "no broker at" in outside("audit", "--broker", "redis://127.0.0.1:1/0", code=3).err
