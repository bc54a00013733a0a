"""probe: it asks for every command that a script calls, and changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distq.broker import keys
from distq.broker.inventory import TYPES
from distq.broker.scripts import script
from tests.support.room import Room

LUA = Path(__file__).parents[2] / "distq" / "broker" / "lua"


def test_it_asks_for_every_command_of_the_scripts() -> None:
    called = set()
    for path in LUA.rglob("*.lua"):
        if path.name != "probe.lua":
            called |= set(re.findall(r"\bcall\(\s*'([A-Z]+)'", path.read_text()))
    asked = set(re.findall(r"'([A-Z]+)'", (LUA / "probe.lua").read_text()))
    assert called <= asked, f"not asked for: {called - asked}"


def test_it_finds_nothing_here_and_changes_nothing(room: Room) -> None:
    verb = script("probe")
    assert room.wire.run_script(verb, verb.command(room.prefix.encode())) == []
    assert room.all_keys() == []


LEVELLED = {"QUEUE", "SUSPECTS", "GHOSTS", "LANES_AT"}
FIXED = [(name, "") for name, spelled in keys.QUEUE_KEYS.items() if not spelled.endswith(":")]
FIXED += [(name, level) for name in sorted(LEVELLED) for level in keys.PRIORITIES]


@pytest.mark.parametrize(("name", "suffix"), FIXED, ids=str)
def test_it_finds_each_key_of_another_type(room: Room, name: str, suffix: str) -> None:
    key, verb = room.key(name, suffix), script("probe")
    add = room.redis.sadd if TYPES[name] != "set" else room.redis.rpush
    add(key, "mine")
    [what, why] = room.wire.run_script(verb, verb.command(room.prefix.encode()))
    assert (what.decode(), why.startswith(b"WRONGTYPE")) == (key, True)
    room.redis.delete(key)
