"""`distq schedules`: made, seen, changed and deleted from a shell; the rest is in tests/system/test_schedules.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Shell
from tests.support.room import Room
from tests.support.rules import check_rules


@pytest.fixture(autouse=True)
def _rules(shop: Room) -> Iterator[None]:
    yield
    check_rules(shop)


def test_a_schedule_is_created_shown_and_deleted(distq: Shell, shop: Room) -> None:
    assert distq("schedules", "list").out == "no schedules\n"
    made = distq("schedules", "create", "night", "0 3 * * *", "report", '{"to": "a"}', "--tz", "Europe/Berlin")
    assert made.out.startswith("created night: next 20")
    assert "nobody on this broker has heard of type report" in made.err
    head, row = distq("schedules", "list").out.splitlines()
    assert head.split() == ["name", "type", "when", "state", "next"]
    assert row.split()[:8] == ["night", "report", "0", "3", "*", "*", "*", "Europe/Berlin"]
    assert row.count("03:00:00") == 5
    shown = distq("schedules", "show", "night").out
    assert 'calls    report(to="a")' in shown
    assert "from     run time" in shown
    [data] = distq("schedules", "list", "--json").json
    assert (data["name"], data["kwargs"], data["state"], len(data["next"])) == ("night", {"to": "a"}, "active", 5)
    assert distq("schedules", "delete", "night", stdin="n\n", code=1).err.endswith("nothing was changed\n")
    assert distq("schedules", "delete", "night", "--yes").out == "deleted night\n"
    assert distq("schedules", "list", "--json").json == []


def test_it_is_paused_resumed_triggered_and_edited(distq: Shell, shop: Room) -> None:
    distq("schedules", "create", "it", "@daily", "report", "17")
    assert distq("schedules", "pause", "it").out == "paused it\n"
    assert distq("schedules", "list", "--json").json[0]["next"] == []
    id = distq("schedules", "trigger", "it").out.strip()
    assert shop.where(id) == "queued"
    data = distq("schedules", "show", "it", "--json").json
    assert [(tick["outcome"], tick["id"]) for tick in data["history"]] == [("triggered", id)]
    assert distq("schedules", "resume", "it").out.startswith("resumed it: next 20")
    edited = distq("schedules", "edit", "it", "--when", "@every 90s", "--payload", '{"a": 1}', "--jitter", "5s").out
    assert edited.startswith("changed it: @every 90s, next 20")
    data = distq("schedules", "show", "it", "--json").json
    assert (data["when"], data["args"], data["kwargs"], data["jitter"]) == ("@every 90s", [], {"a": 1}, 5.0)


def test_with_the_code_at_hand_type_and_arguments_are_checked(distq: Shell, shop: Room) -> None:
    said = distq("schedules", "create", "it", "@daily", "ad", "--app", "myapp:app", code=2)
    assert "did you mean `add`?" in said.err
    said = distq("schedules", "create", "it", "@daily", "add", '{"a": 1}', "--app", "myapp:app", code=2)
    assert "missing a required argument: 'b'" in said.err
    distq("schedules", "create", "mails", "@daily", "send_email", '"a@b"', "--app", "myapp:app")
    [data] = distq("schedules", "list", "--json").json
    assert (data["queue"], data["args"]) == ("mail", ["a@b"])
    distq("schedules", "delete", "mails", "--yes")


WRONG = [
    (("create", "it", "5m", "report"), 2, 'did you mean "@every 5m"?'),
    (("create", "a b", "@daily", "report"), 2, "name='a b' cannot be a schedule's"),
    (("create", "it", "@daily", "report", "--overlap", "never"), 2, "overlap='never' is none of queue, skip, replace"),
    (("create", "it", "@daily", "report", "--tz", "Berlin"), 2, "tz='Berlin' is no time zone"),
    (("create", "it", "@daily", "report", "--jitter", "x"), 2, "--jitter 'x' is no duration"),
    (("create", "it", "@daily", "report", "{"), 2, "the payload is no JSON"),
    (("show", "no"), 1, "no schedule 'no'; there are: none yet"),
    (("pause", "no"), 1, "no schedule 'no'"),
    (("edit", "no"), 2, "say what is to be changed"),
    (("edit", "no", "--reset", "--when", "@daily"), 2, "or --reset alone"),
]


@pytest.mark.parametrize(("words", "code", "says"), WRONG)
def test_what_is_wrong_is_said_with_its_value(
    distq: Shell, shop: Room, words: tuple[str, ...], code: int, says: str
) -> None:
    assert says in distq("schedules", *words, code=code).err


def test_a_name_that_is_taken_and_one_that_is_mistyped_are_named(distq: Shell, shop: Room) -> None:
    distq("schedules", "create", "night", "@daily", "report")
    assert "edit or delete that one" in distq("schedules", "create", "night", "@hourly", "report", code=2).err
    assert "did you mean `night`?" in distq("schedules", "trigger", "nigth", code=1).err
    assert "is not declared by code" in distq("schedules", "edit", "night", "--reset", code=2).err
