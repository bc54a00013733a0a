"""`distq why`, `pause`, `resume`, `paused` and `limits`: what a person sees, and the exit codes."""

from __future__ import annotations

import re

from tests.cli.conftest import Shell
from tests.support.room import Room


def test_why_says_each_gate_on_a_line(distq: Shell, shop: Room) -> None:
    first, id = shop.enqueue("email", priority=2), shop.enqueue("email", priority=2)
    shop.register(["pdf"])
    distq("pause", "--type", "email", "--by", "ann", code=0)
    said = distq("why", id, code=0).out
    assert re.fullmatch(
        rf"email {id} is queued in queue default, priority high, for [\d.]+ m?s\n"
        r"  · type email is paused by ann since \d\d:\d\d:\d\d\n"
        r"  · 1 worker listens to this queue, and does not run type email\n"
        r"  · 1 ahead of it\n",
        said,
    ), said
    data = distq("why", id, "--json", code=0).json
    assert [gate["name"] for gate in data["gates"]] == ["type_paused", "unknown_type", "ahead"]
    assert data["gates"][0]["facts"]["by"] == "ann"
    assert data["state"] == "queued"
    shop.cancel(first)


def test_why_of_an_unknown_id(distq: Shell, shop: Room) -> None:
    shop.enqueue()
    assert "no task of this id is known" in distq("why", "nobody", code=1).out


def test_what_comes_from_the_broker_does_nothing_to_the_terminal(distq: Shell, shop: Room) -> None:
    id = shop.enqueue("x\x1b[31m")
    assert "\x1b" not in distq("why", id, code=0).out


def test_pause_paused_and_resume(distq: Shell, shop: Room) -> None:
    shop.enqueue()
    assert distq("paused", code=0).out == "nothing is paused\n"
    assert distq("pause", "--queue", "default", "--reason", "no mail", code=0).out == "queue default: paused\n"
    assert distq("pause", "-Q", "default", code=0).out == "queue default: was paused already\n"
    assert distq("pause", "--type", "email", "--key", "7", "--by", "ann", "--json", code=0).json["changed"] is True
    lines = distq("paused", code=0).out.splitlines()
    assert lines[0].split() == ["queue", "type", "key", "by", "since", "reason"]
    assert re.fullmatch(r"default +all +all +\S.*@\S+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +no mail", lines[1])
    assert re.fullmatch(r"default +email +7 +ann +\d{4}-.*", lines[2])
    assert [one["key"] for one in distq("paused", "--json", code=0).json] == [None, "7"]
    last = distq("queues", code=0).out.splitlines()[-2:]
    assert last[0].startswith("paused: queue default, by ")
    assert last[1].startswith("paused: key 7 of type email in queue default, by ann since ")
    assert distq("resume", "--queue", "default", code=0).out == "queue default: resumed\n"
    assert distq("resume", "--queue", "default", code=0).out == "queue default: was not paused\n"
    assert distq("resume", "--type", "email", "--key", "7", code=0).out == "type email, key 7: resumed\n"


def test_pause_what(distq: Shell, shop: Room) -> None:
    shop.enqueue()
    assert "say what: --queue" in distq("pause", code=2).err
    assert "--type with --key" in distq("pause", "--key", "7", code=2).err
    assert "no queue 'defautl' (did you mean" in distq("pause", "--queue", "defautl", code=2).err
    assert "--type is empty" in distq("pause", "--type", "", code=2).err


def test_limits_are_listed_set_and_cleared(distq: Shell, shop: Room) -> None:
    shop.enqueue("email")
    assert distq("limits", "list", code=0).out == "no type is limited\n"
    assert (
        distq("limits", "set", "email", "--rate", "20/s", "--by", "ann", code=0).out
        == "email in default: 20/s (declared: none)\n"
    )
    said = distq("limits", "set", "email", "--max-running", "3", "--by", "bob", code=0).out
    assert said == "email in default: 20/s, 3 at once (declared: none)\n"
    rows = distq("limits", "list", code=0).out.splitlines()
    assert re.fullmatch(r"email +default +20/s, 3 at once +none, by bob since \d{4}-.*", rows[1])
    assert distq("limits", "list", "--json", code=0).json[0]["now"]["max_running"] == 3
    assert distq("limits", "clear", "email", code=0).out == "email: none\n"
    assert "nothing was set" in distq("limits", "clear", "email", code=0).err


def test_limits_that_are_none(distq: Shell, shop: Room) -> None:
    shop.enqueue("email")
    assert "is no rate" in distq("limits", "set", "email", "--rate", "ten/s", code=2).err
    assert "max_running='x'" in distq("limits", "set", "email", "--max-running", "x", code=2).err
    assert "say what limits" in distq("limits", "set", "email", code=2).err
    assert "has no keys" in distq("limits", "set", "email", "--rate", "5/s per tenant", code=2).err
    assert "did you mean `email`" in distq("limits", "set", "emial", "--rate", "5/s", code=2).err
