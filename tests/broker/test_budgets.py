"""Budgets of tasks: what the scripts hand over, also against a plain model in simulated time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distq.broker import budgets, verbs
from tests.support.room import Room, Worker, completed, verdict
from tests.support.rules import check_rules

HOUR_US = 3_600_000_000
HOUR_MS = 3_600_000


def budget(burst: int, interval_us: int = HOUR_US) -> str:
    return f"{interval_us} {burst}"


def declared(**budgets: list[str]) -> dict[str, Any]:
    return {"b": budgets}


def begin(room: Room, *types: str, **budgets: list[str]) -> Worker:
    """A worker of some types, which all use these."""
    policy = declared(**budgets)
    return room.register([lane for type in types for lane in (type, f"v2/{type}")], flows=dict.fromkeys(types, policy))


def use(room: Room, *uses: Sequence[Any], lane: str = "", type: str = "job", **said: Any) -> str:
    return room.enqueue(type, key={"k": "", "b": [list(one) for one in uses], **({"l": lane} if lane else {}), **said})


def got(room: Room, worker: Worker, **options: Any) -> list[str]:
    return [entry.decode() for entry in room.step(worker, **options).entries]


def test_types_share_one(room: Room) -> None:
    worker = begin(room, "job", "mail", api=[budget(3)])
    jobs = [use(room, ("api", "", 1)) for _ in range(3)]
    mails = [use(room, ("api", "", 1), type="mail") for _ in range(3)]
    handed = got(room, worker)
    assert len(handed) == 3
    assert set(handed) <= {*jobs, *mails}
    assert got(room, worker) == []
    room.pass_time(HOUR_MS + 2)
    assert len(got(room, worker)) == 1


def test_programs_share_it_too(room: Room) -> None:
    worker = begin(room, "job", api=[budget(2)])
    assert room.run(budgets.acquire(room.prefix, "api", "", [(budget(2), 1)])) == 0
    first, _ = use(room, ("api", "", 1)), use(room, ("api", "", 1))
    assert got(room, worker) == [first]
    assert room.run(budgets.acquire(room.prefix, "api", "", [(budget(2), 1)])) > 3000


def test_costs_are_taken_of_each_amount(room: Room) -> None:
    worker = begin(room, "job", api=[budget(10), budget(100)])
    first, second = use(room, ("api", "", 1, 60)), use(room, ("api", "", 1, 50))
    assert got(room, worker) == [first]
    room.pass_time(9 * HOUR_MS)
    assert got(room, worker) == [], "49 are there"
    room.pass_time(HOUR_MS + 2)
    assert got(room, worker) == [second]


def test_of_several_budgets_the_last_one_counts(room: Room) -> None:
    worker = begin(room, "job", api=[budget(2)], disk=[budget(1)])
    first, second = (use(room, ("api", "", 1), ("disk", "", 1)) for _ in range(2))
    assert got(room, worker) == [first]
    assert got(room, worker) == []
    assert room.run(budgets.acquire(room.prefix, "api", "", [(budget(2), 1)])) == 0, "what waits takes of none"
    room.pass_time(HOUR_MS + 2)
    assert got(room, worker) == [second]


def test_a_cost_of_nothing_needs_nothing(room: Room) -> None:
    worker = begin(room, "job", api=[budget(1)])
    first, free = use(room, ("api", "", 1)), use(room, ("api", "", 0))
    assert got(room, worker) == [first, free]


def test_what_waits_for_one_key_keeps_no_other_back(room: Room) -> None:
    worker = begin(room, "job", api=[budget(1)])
    a = [use(room, ("api", "a", 1), lane="\x1fa") for _ in range(2)]
    b = [use(room, ("api", "b", 1), lane="\x1fb") for _ in range(2)]
    assert sorted(got(room, worker)) == sorted([a[0], b[0]])
    assert got(room, worker) == []
    members = {name.decode() for name in room.redis.zrange(room.key("RESUMES"), 0, -1)}
    assert members == {"default v2/job :\x1fa", "default v2/job :\x1fb"}


def test_what_waits_for_all_keeps_its_flow_back_and_no_other_type(room: Room) -> None:
    worker = begin(room, "job", api=[budget(1)])
    first, _ = use(room, ("api", "", 1)), use(room, ("api", "", 1))
    free = room.enqueue("free")
    assert got(room, worker) == [first, free]
    assert room.redis.zrange(room.key("RESUMES"), 0, -1) == [b"default v2/job g"]


def test_more_than_it_was_declared_with_meanwhile_is_all_of_it(room: Room) -> None:
    begin(room, "job", api=[budget(100)])
    large = use(room, ("api", "", 80))
    worker = begin(room, "job", api=[budget(10)])
    assert got(room, worker) == [large]
    small = use(room, ("api", "", 1))
    assert got(room, worker) == []
    room.pass_time(HOUR_MS + 2)
    assert got(room, worker) == [small]


def test_the_last_declaration_holds_and_what_waits_looks_again(room: Room) -> None:
    worker = begin(room, "job", api=[budget(1)])
    first, second = use(room, ("api", "", 1)), use(room, ("api", "", 1))
    assert got(room, worker) == [first]
    assert got(room, worker) == []
    faster = begin(room, "job", api=[budget(1, 1000)])
    room.pass_time(2)
    assert got(room, faster) == [second]
    assert msgpack.unpackb(room.redis.hget(room.key("BUDGETS"), "api")) == [budget(1, 1000)]


def test_the_first_call_declares_it(room: Room) -> None:
    room.enqueue(key={"k": "", "b": [["api", "", 1]]}, flow=msgpack.packb(declared(api=[budget(3)])))
    assert msgpack.unpackb(room.redis.hget(room.key("BUDGETS"), "api")) == [budget(3)]


def test_who_does_not_know_the_budget_pays_all_the_same(room: Room) -> None:
    """A call by name, from a program that has no declaration."""
    worker = begin(room, "job", api=[budget(2)])
    plain = [room.enqueue() for _ in range(3)]
    assert got(room, worker) == plain[:2]


@pytest.mark.parametrize(
    "uses",
    [
        5, "x", {"api": 1}, [5], [[]], [["api"]], [["api", 5, 1]], [[5, "", 1]], [["api", "", "x"]], [["api", "", -1]],
        [["api", "", float("nan")]], [["api", "", float("inf")]], [["api", "", 1], ["api", "", "x"]],
        [["api", "", 1], 7], [["api", "", 1]] * 9, [["nobody's", "", 1]], [["api! ", "", 1]], [["api", "", 1e308]],
        [["api", "\x00 \n", 1]], [["api", "", 1, 2, 3, 4]], [],
    ],
    ids=str,
)  # fmt: skip
def test_hostile_messages_harm_nobody(room: Room, uses: Any) -> None:
    worker = begin(room, "job", api=[budget(50)])
    hostile = room.enqueue(key={"k": "", "b": uses})
    good = use(room, ("api", "", 1))
    handed = got(room, worker)
    assert handed[0] == hostile
    if uses != [["api", "", 1e308]]:  # that has taken all
        assert handed == [hostile, good]


# -- parked ----------------------------------------------------------------------------------------------------------


def parking(entry: str, ms: int, name: str = "api", key: str = "", type: str = "job") -> bytes:
    return verdict(entry, "snooze", type=type, number=ms, blob=msgpack.packb([name, key]))


def test_one_that_was_too_much_parks_it_for_all_and_runs_first_when_it_is_over(room: Room) -> None:
    worker = begin(room, "job", "mail", api=[budget(50)])
    first, second = use(room, ("api", "", 1)), use(room, ("api", "", 1))
    assert got(room, worker, want=1) == [first]
    mail = use(room, ("api", "", 1), type="mail")
    assert got(room, worker, verdicts=[parking(first, 60_000)]) == []
    assert room.head(first).attempt == 0
    assert room.run(budgets.acquire(room.prefix, "api", "", [(budget(50), 1)])) > 50
    room.pass_time(60_002)
    handed = got(room, worker)
    assert sorted(handed) == sorted([first, second, mail])
    assert handed.index(first) < handed.index(second)


def test_the_keys_of_others_go_on(room: Room) -> None:
    worker = begin(room, "job", api=[budget(50)])
    a, b = (use(room, ("api", key, 1), lane=f"\x1f{key}") for key in "ab")
    assert got(room, worker) == [a, b]
    more = [use(room, ("api", key, 1), lane=f"\x1f{key}") for key in "ab"]
    assert got(room, worker, verdicts=[parking(a, 60_000, key="a")]) == [more[1]]


def test_one_that_does_not_take_from_it_waits_as_well(room: Room) -> None:
    worker = begin(room, "job", api=[budget(50)])
    other = room.register(["plain"])
    plain = room.enqueue("plain")
    assert got(room, other) == [plain]
    use(room, ("api", "", 1))
    room.step(other, verdicts=[parking(plain, 60_000, type="plain")])
    assert room.where(plain) == "scheduled"
    assert got(room, worker) == []


def test_what_is_in_order_waits_in_its_place(room: Room) -> None:
    policy = {"o": 1, **declared(api=[budget(50)])}
    worker = room.register(["job", "v2/job"], flows={"job": policy})
    first, second = (use(room, ("api", "", 1), k="account") for _ in range(2))
    assert got(room, worker) == [first]
    assert got(room, worker, verdicts=[parking(first, 60_000)]) == []
    room.pass_time(60_002)
    assert got(room, worker) == [first]
    assert got(room, worker, verdicts=[completed(first)]) == [second]


def test_who_is_cancelled_meanwhile_parks_it_all_the_same(room: Room) -> None:
    """What the handler has heard is true, whatever becomes of its task."""
    worker = begin(room, "job", api=[budget(50)])
    first, _ = use(room, ("api", "", 1)), use(room, ("api", "", 1))
    assert got(room, worker, want=1) == [first]
    assert room.run(verbs.cancel(room.prefix, first, "test", "running")) == "ordered"
    assert got(room, worker, verdicts=[parking(first, 60_000)]) == []
    assert room.where(first) == "cancelled"


# -- against a model -------------------------------------------------------------------------------------------------

TICK_S = 10
"""The model counts in these, so that the time which passes by itself plays no part."""
SLACK_MS = 20
AMOUNTS = {"shared": [(1, 3), (1, 6)], "keyed": [(2, 2)]}
"""Of each budget: ticks from one token to the next, and the burst."""


@dataclass
class Waiting:
    """A task of the model: {(budget, key, amount): cost}."""

    id: str
    type: str
    lane: str
    costs: dict[tuple[str, str, int], int]


class Model:
    """Token buckets, each as what is in it, and parks."""

    def __init__(self) -> None:
        self.now = 0
        self.taken: dict[tuple[str, str, int], float] = defaultdict(float)
        """Tokens that are missing."""
        self.parks: dict[tuple[str, str], int] = {}
        self.waiting: list[Waiting] = []

    def advance(self, ticks: int) -> None:
        self.now += ticks
        for (name, key, amount), missing in self.taken.items():
            self.taken[name, key, amount] = max(0, missing - ticks / AMOUNTS[name][amount][0])

    def fits(self, costs: dict[tuple[str, str, int], int]) -> bool:
        return all(
            self.parks.get((name, key), 0) <= self.now
            and (cost == 0 or self.taken[name, key, amount] + cost <= AMOUNTS[name][amount][1] + 1e-9)
            for (name, key, amount), cost in costs.items()
        )

    def take(self, costs: dict[tuple[str, str, int], int]) -> None:
        for place, cost in costs.items():
            self.taken[place] += cost

    def stuck(self, type: str) -> bool:
        """Whether nothing of this type can go on: the first of some lane does not fit."""
        heads: dict[str, Waiting] = {}
        for task in self.waiting:
            if task.type == type:
                heads.setdefault(task.lane, task)
        return not heads or not all(self.fits(task.costs) for task in heads.values())


MOVES = st.one_of(
    st.tuples(st.just("a"), st.integers(0, 6)),
    st.tuples(st.just("b"), st.integers(0, 6), st.sampled_from("xy"), st.integers(0, 2)),
    st.tuples(st.just("acquire"), st.integers(0, 6)),
    st.tuples(st.just("park"), st.sampled_from(["", "x"]), st.integers(1, 4)),
    st.tuples(st.just("step"), st.sampled_from([1, 50])),
    st.tuples(st.just("pass"), st.integers(1, 5)),
)


def shown(name: str) -> list[str]:
    return [f"{ticks * TICK_S * 1_000_000} {burst}" for ticks, burst in AMOUNTS[name]]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(moves=st.lists(MOVES, max_size=30))
def test_it_is_what_the_model_says(room: Room, moves: list[tuple[Any, ...]]) -> None:
    room.redis.delete(*room.all_keys(), "none")
    model = Model()
    policies = {"a": declared(shared=shown("shared")), "b": declared(shared=shown("shared"), keyed=shown("keyed"))}
    worker = room.register(["a", "v2/a", "b", "v2/b"], flows=policies)
    for word, *said in [*moves, ("step", 50)]:
        Play(room, model, worker).do(word, *said)
        check_rules(room)


@dataclass
class Play:
    """One move, in both."""

    room: Room
    model: Model
    worker: Worker

    def do(self, word: str, *said: Any) -> None:
        if word in ("a", "b"):
            self.enqueue(word, *said)
        elif word == "acquire":
            self.acquire(*said)
        elif word == "park":
            self.park(*said)
        elif word == "step":
            self.step(*said)
        else:
            self.model.advance(*said)
            self.room.pass_time(said[0] * TICK_S * 1000 + SLACK_MS)

    def enqueue(self, type: str, tokens: int, key: str = "", cost: int = 0) -> None:
        uses: list[Sequence[Any]] = [("shared", "", 1, tokens)]
        costs = {("shared", "", 0): 1, ("shared", "", 1): tokens}
        if key:
            uses.append(("keyed", key, cost))
            costs["keyed", key, 0] = cost
        id = use(self.room, *uses, lane=key and f"\x1f{key}", type=type)
        self.model.waiting.append(Waiting(id, type, key, costs))

    def acquire(self, tokens: int) -> None:
        costs = {("shared", "", 0): 1, ("shared", "", 1): tokens}
        wanted = list(zip(shown("shared"), (1, tokens), strict=True))
        is_taken = self.room.run(budgets.acquire(self.room.prefix, "shared", "", wanted)) == 0
        assert is_taken == self.model.fits(costs)
        if is_taken:
            self.model.take(costs)

    def park(self, key: str, ticks: int) -> None:
        name = "keyed" if key else "shared"
        self.room.run(budgets.park_budget(self.room.prefix, name, key, ticks * TICK_S * 1000))
        until = self.model.now + ticks
        self.model.parks[name, key] = max(self.model.parks.get((name, key), 0), until)

    def step(self, want: int) -> None:
        handed = got(self.room, self.worker, want=want)
        ends = []
        for id in handed:
            [task] = [task for task in self.model.waiting if task.id == id]
            first = next(one for one in self.model.waiting if (one.type, one.lane) == (task.type, task.lane))
            assert first is task, "in each lane in their order"
            assert self.model.fits(task.costs), f"{task} was handed over too early"
            self.model.take(task.costs)
            self.model.waiting.remove(task)
            ends.append(verdict(id, "complete", type=task.type, number=600_000))
        if len(handed) < want:
            assert self.model.stuck("a"), "what could run waits"
            assert self.model.stuck("b"), "what could run waits"
        self.room.step(self.worker, want=0, verdicts=ends)
