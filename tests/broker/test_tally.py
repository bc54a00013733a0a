"""tally: the two sides of the ledger's equation at one instant; and the table of what the scripts count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distq.broker import ledger, verbs
from distq.broker.ledger import SIDES, Tally
from distq.broker.scripts import all_scripts
from distq.states import ARROWS, ENDINGS, EVENTS
from tests.support import states
from tests.support.room import Room

LUA = Path(__file__).parents[2] / "distq" / "broker" / "lua"


def tally(room: Room) -> Tally:
    return room.run(ledger.tally(room.prefix))


def test_it_is_what_is_there_and_what_has_happened(room: Room) -> None:
    states.completed_(room)
    states.dead(room)
    room.cancel(room.enqueue("mail"))
    room.enqueue("mail", delay=3_600_000)
    found = tally(room)
    assert found.depths == room.run(verbs.depths(room.prefix))
    assert ledger.by_type(found.counts) == {
        "job": {"enqueued": 2, "completed": 1, "dead": 1},
        "mail": {"enqueued": 2, "cancelled": 1},
    }
    assert ledger.totals(found.counts) == dict.fromkeys(SIDES, 0) | {
        "enqueued": 4, "completed": 1, "dead": 1, "cancelled": 1, "retried": 0,
            "rescheduled": 0,
    }  # fmt: skip
    assert ledger.difference(found) == 0


@pytest.mark.parametrize("state", states.all_but())
def test_it_is_in_balance_whatever_becomes_of_a_task(room: Room, state: str) -> None:
    states.MAKE[state](room)
    assert ledger.difference(tally(room)) == 0  # and the rules after each test look at the types, too


def test_a_replay_is_another_life_and_the_first_one_stays_dead(room: Room) -> None:
    id = states.dead(room)
    room.run(verbs.replay(room.prefix, [id]))
    assert room.ledger() == {"enqueued job": 1, "dead job": 1, "replayed job": 1}
    assert ledger.alive(ledger.by_type(room.ledger())["job"]) == 1
    room.cancel(id)
    assert room.ledger() == {"enqueued job": 1, "dead job": 1, "replayed job": 1, "cancelled job": 1}


def test_what_becomes_of_a_dead_letter_is_no_event(room: Room) -> None:
    id = states.dead(room)
    before = room.ledger()
    room.run(verbs.purge_dead(room.prefix, [id]))
    assert room.ledger() == before


# -- the table ------------------------------------------------------------------------------------------------------


def test_the_scripts_count_the_events_of_the_table_and_no_other() -> None:
    text = "\n".join(path.read_text() for path in LUA.rglob("*.lua"))
    written = set(re.findall(r"\bcount\('(\w+)'", text)) | set(re.findall(r"\bfinish\(.*?'(\w+)'", text))
    written |= set(re.findall(r"LEDGER, '(\w+) '", text))
    assert written == {event.name for event in EVENTS}


def test_the_endings_of_the_table_are_those_of_the_arrows() -> None:
    for event in EVENTS:
        arrows = {arrow.verb for arrow in ARROWS if arrow.target == event.name}
        assert bool(arrows) == (event.side < 0) == (event.name in (*ENDINGS, "moved"))
        assert arrows <= set(event.verbs)
        assert set(event.verbs) <= {script.name for script in all_scripts()}
