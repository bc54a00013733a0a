"""Every arrow of the state table has a test, every script is an arrow's or reads only, and the contracts agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distq.broker.scripts import Script, all_scripts
from distq.states import ARROWS

TESTS = Path(__file__).parent
PROVEN = {
    match.groups()
    for file in TESTS.glob("test_*.py")
    for match in re.finditer(r'^@arrow\("(\w+)", "(\w+)", "(\w+)"\)', file.read_text(), re.M)
}
NO_MOVE = {
    "look",
    "workers",
    "depths",
    "tally",
    "glance",
    "note",
    "backlog",
    "correct",
    "strays",
    "inventory",
    "probe",
    "entries",
    "register",
    "renew",
    "resign",
    "checkpoint",
    "pause",
    "resume",
    "override",
    "look_again",
    "why",
    "define",
    "declare",
    "acquire",
    "park_budget",
    "forget",
    "schedules",
    "order",
    "sift",
    "expect",
    "conclude",
    "roll_up",
    "forget_done",
    "history",
}


def test_each_arrow_is_proven_and_nothing_else() -> None:
    assert {(a.source, a.target, a.verb) for a in ARROWS} == PROVEN


def test_the_scripts_are_the_verbs_of_the_table_and_those_that_move_no_task() -> None:
    assert {script.name for script in all_scripts()} == {a.verb for a in ARROWS} | NO_MOVE


def test_every_verb_has_a_test_file() -> None:
    assert {script.name for script in all_scripts()} <= {
        file.stem.removeprefix("test_") for file in TESTS.glob("test_*.py")
    }


@pytest.mark.parametrize("script", [s for s in all_scripts() if s.name not in NO_MOVE], ids=lambda s: s.name)
def test_a_contract_names_the_moves_of_the_table(script: Script) -> None:
    said = set()
    for part in script.moves.split(", "):
        sources, _, targets = part.partition(" -> ")
        if sources in ("live worker", "live supervisor"):
            continue
        said |= {(s, t) for s in sources.split(" | ") for t in targets.split(" | ")}
    table = {(a.source, a.target) for a in ARROWS if a.verb == script.name}
    assert said == table


@pytest.mark.parametrize("script", all_scripts(), ids=lambda s: s.name)
def test_a_script_opens_with_its_contract(script: Script) -> None:
    text = (Path(__file__).parents[2] / "distq" / "broker" / "lua" / f"{script.name}.lua").read_text()
    comment = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("--")]
    assert comment[0].startswith(f"-- {script.name}: ")
    assert any(line.startswith("-- KEYS prefix") for line in comment)
    assert any(line.startswith("-- returns ") for line in comment)
