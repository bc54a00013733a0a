"""How many hosts are wanted: by durations of each type, never more slots than tasks, and for what comes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from distq.broker.backlog import Backlog
from distq.broker.history import Past
from distq.broker.ledger import Tally
from distq.broker.verbs import Depths
from distq.demand import within
from distq.errors import ConfigurationError
from distq.run_times import RunTimes
from distq.supervisor.outlook import FRESH_S, Outlook
from distq.worker.board import Board
from distq.worker.meters import Meters

NAMES = ["quick", "slow"]


class Host:
    """A host with four slots that has run some tasks, and its outlook."""

    def __init__(self, **durations: float) -> None:
        self.now, self.board = 0.0, Board(1)
        self.asked = list[Any]()
        link = SimpleNamespace(submit=lambda command, answer, refused: self.asked.append(answer))
        site = SimpleNamespace(board=self.board, names=NAMES, taken={*NAMES}, prefixes=["one"], link=link)
        self.condition = cast("Any", SimpleNamespace(site=site, places=4, longest_s=0.0))
        self.outlook = Outlook(self.condition, lambda: self.now)
        for type, seconds in durations.items():
            self.runs(type, seconds)

    def runs(self, type: str, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            Meters(self.board.slots[0], NAMES)(type)("success", seconds)


def found(ready: int = 0, running: int = 0, completed: int = 0, **work: float) -> Backlog:
    depths = Depths(*[0] * len(Depths._fields))._replace(running=running)
    return Backlog(Tally(depths, {"completed quick": completed}), ready, 0, 0, 0, work)


def test_each_type_counts_with_its_own_duration() -> None:
    demand = Host(quick=0.01, slow=1.5).outlook.demand(found(ready=1_200, quick=1_000, slow=200), 30)
    assert demand.wanted_slots == 11  # (10 s + 300 s) / 30 s
    assert demand.wanted_workers == 3
    assert (demand.backlog, demand.running) == (1_200, 0)
    assert demand.service_time_s == pytest.approx(310 / 1_200)


def test_a_task_wants_one_slot_at_most_also_while_it_runs() -> None:
    demand = Host(slow=3600).outlook.demand(found(ready=4, running=6, slow=10), 30)
    assert demand.wanted_slots == 10
    assert (demand.backlog, demand.running) == (4, 6)


def test_nothing_to_do_wants_nobody_and_anything_at_all_somebody() -> None:
    host = Host(quick=0.001)
    assert host.outlook.demand(found())[:2] == (0, 0)
    assert host.outlook.demand(found(ready=1, quick=1))[:2] == (1, 1)


def test_of_what_has_never_ended_here_the_longest_that_runs_says_something() -> None:
    host = Host()
    demand = host.outlook.demand(found(ready=50, slow=50))
    assert (demand.wanted_slots, demand.service_time_s) == (1, None)
    host.condition.longest_s = 15.0
    assert host.outlook.demand(found(ready=50, slow=50)).wanted_slots == 25


def test_what_has_never_ended_here_takes_as_long_as_it_did_elsewhere() -> None:
    host = Host(quick=0.1)
    for _ in range(2):
        host.outlook.ask()
    (answer,) = host.asked
    answer(Past(0, 10, {}, {1: {"slow": RunTimes((1, 0, 0), sum_s=5)}, 2: {"slow": RunTimes((0, 1, 0), sum_s=7)}}))
    assert host.outlook.demand(found(ready=10, quick=5, slow=5)).service_time_s == pytest.approx((0.5 + 5 * 6) / 10)
    host.now = FRESH_S
    host.outlook.ask()
    assert len(host.asked) == 1, "it knows all that is there"


def test_types_that_are_left_to_others_do_not_count() -> None:
    assert Host(quick=1).outlook.demand(found(ready=100, unknown=100)).wanted_slots == 0


def test_what_comes_has_to_be_kept_up_with_although_nothing_waits() -> None:
    host = Host(quick=0.5)
    for second in range(41):
        host.now = float(second)
        host.outlook.note(found(completed=20 * second))
    demand = host.outlook.demand(found(completed=20 * 40), 30)
    assert demand.arrivals_per_s == pytest.approx(20)
    assert demand.wanted_slots == 10


def test_what_was_long_ago_says_nothing_of_now() -> None:
    host = Host(quick=0.5)
    host.outlook.note(found())
    host.now = 29.0
    assert host.outlook.demand(found(completed=900)).arrivals_per_s is None
    host.now = 121.0
    assert host.outlook.demand(found(completed=900)).arrivals_per_s is None


def test_durations_follow_what_types_take_now() -> None:
    host = Host()
    host.runs("quick", 0.1, 100)
    for _ in range(2):
        host.now += FRESH_S
        host.outlook.note(found())
    host.runs("quick", 1.0, 10)
    demand = host.outlook.demand(found(ready=60, quick=60, slow=60), 30)
    assert demand.service_time_s == pytest.approx(1.0)


@pytest.mark.parametrize(("text", "seconds"), [("", 30), ("5m", 300), ("90", 90)])
def test_the_time_is_given_as_everywhere(text: str, seconds: float) -> None:
    assert within(text) == seconds


@pytest.mark.parametrize("text", ["0s", "2h", "soon", "-5s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="within"):
        within(text)
