"""Versions of a task's arguments: what a declaration may say, and what becomes of old calls."""

from __future__ import annotations

from typing import Any

import pytest

from distq import ConfigurationError, Distq
from distq.message import names_of, typed, untyped
from distq.upgrade import Upgrade, upgrade


def from_1(to: str, subject: str = "none") -> dict[str, Any]:
    return {"to": [to], "subject": subject}


def from_2(to: list[str], subject: str) -> tuple[Any, ...]:
    return to, subject.upper()


async def later(to: str) -> tuple[Any, ...]:
    return (to,)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"version": 0}, "from 1 to 999"),
        ({"version": 1000}, "from 1 to 999"),
        ({"version": True}, "from 1 to 999"),
        ({"version": "2"}, "from 1 to 999"),
        ({"version": 2}, "give upgrade={1: function}"),
        ({"version": 3, "upgrade": {1: from_1}}, "give {2: function} too"),
        ({"version": 4, "upgrade": {1: from_1, 3: from_1}}, "give {2: function} too"),
        ({"version": 2, "upgrade": {1: "from_1"}}, "with the parameters of version 1"),
        ({"version": 2, "upgrade": {1: later}}, "give a function with the parameters"),
        ({"version": 2, "upgrade": {2: from_2}}, "from 1 to 1"),
        ({"version": 2, "upgrade": {"1": from_1}}, "from 1 to 1"),
        ({"upgrade": {1: from_1}}, "with version=1 there is no older"),
        ({"version": 2, "upgrade": from_1}, "such as {1: from_1_to_2}"),
        ({"version": 2, "upgrade": [from_1]}, "such as {1: from_1_to_2}"),
        ({"max_deliveries": 0}, "from 1 (at most once) to 15"),
        ({"max_deliveries": 16}, "from 1 (at most once) to 15"),
        ({"max_deliveries": True}, "from 1 (at most once) to 15"),
        ({"max_deliveries": None}, "from 1 (at most once) to 15"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_a_hint(options: Any, hint: str) -> None:
    app = Distq("app")
    with pytest.raises(ConfigurationError) as caught:
        app.task(**options)(print)
    assert hint in str(caught.value)


def test_the_oldest_versions_may_be_forgotten() -> None:
    declared = Distq("app").task(version=4, upgrade={3: from_2, 2: from_1})(print).declaration
    assert declared.versions == {"print@2": 2, "print@3": 3, "print@4": 4}


def test_a_type_travels_with_its_version() -> None:
    assert [typed("mail", 1), typed("mail", 2), typed("mail", 999)] == ["mail", "mail@2", "mail@999"]
    for text, name in {
        "mail": ("mail", 1), "mail@2": ("mail", 2), "mail@1": ("mail@1", 1), "mail@": ("mail@", 1), "@2": ("@2", 1),
        "mail@02": ("mail@02", 1), "mail@1000": ("mail@1000", 1), "a@2@3": ("a@2", 3), "": ("", 1),
    }.items():  # fmt: skip
        assert untyped(text) == name
    assert names_of(["mail", "mail@2", "add", "sum@3"]) == ["mail", "add", "sum"]


def test_old_arguments_become_those_of_now_step_by_step() -> None:
    steps: dict[int, Upgrade] = {1: from_1, 2: from_2}
    assert upgrade("mail", steps, 1, ["ann"], {}) == ([["ann"], "NONE"], {})
    assert upgrade("mail", steps, 1, [], {"to": "ann", "subject": "hi"}) == ([["ann"], "HI"], {})
    assert upgrade("mail", steps, 2, [["ann"]], {"subject": "hi"}) == ([["ann"], "HI"], {})
    assert upgrade("mail", steps, 3, [1], {"a": 2}) == ([1], {"a": 2})


def test_what_an_upgrade_gives_must_be_arguments() -> None:
    with pytest.raises(TypeError, match=r"the upgrade of mail must return the arguments of version 2.* not NoneType"):
        upgrade("mail", {1: lambda: None}, 1, [], {})  # type: ignore[dict-item, return-value]
    with pytest.raises(TypeError, match=r"the upgrade of mail@2 .* not str"):
        upgrade("mail", {2: lambda: "ab"}, 2, [], {})  # type: ignore[dict-item, return-value]
    with pytest.raises(TypeError, match="unexpected keyword"):
        upgrade("mail", {1: from_1}, 1, [], {"body": 1})
