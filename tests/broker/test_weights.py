"""Priorities that share a queue by weights: what is handed over, in which order, whatever waits when."""

from __future__ import annotations

import os
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.room import Room, Worker, completed

EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 15, derandomize=not EXAMPLES, deadline=None, database=None,
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
WEIGHTS = st.tuples(*[st.integers(1, 9)] * 3)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.integers(0, 2), st.integers(1, 12)),
        st.tuples(st.just("step"), st.integers(0, 1), st.integers(1, 20)),
    ),
    min_size=5, max_size=30,
)  # fmt: skip


class Model:
    """The one with the lowest pass has the next turn; who has nothing saves up none."""

    def __init__(self, weights: tuple[int, ...]) -> None:
        self.stride = [Fraction(1, weight) for weight in weights]
        self.passes = [Fraction(0)] * 3
        self.waiting: list[list[str]] = [[], [], []]

    def grant(self) -> str:
        ready = [level for level in range(3) if self.waiting[level]]
        turn = min(ready, key=lambda level: (self.passes[level], level))
        least = self.passes[turn]
        self.passes = [one if self.waiting[level] else max(one, least) for level, one in enumerate(self.passes)]
        self.passes[turn] += self.stride[turn]
        return self.waiting[turn].pop(0)


class Queue:
    """A real one beside the model of it."""

    def __init__(self, room: Room, weights: tuple[int, ...]) -> None:
        self.room, self.model = room, Model(weights)
        said = " ".join(map(str, weights))
        self.workers = [room.register(weights=said) for _ in range(2)]
        self.levels: dict[str, int] = {}

    def enqueue(self, level: int, number: int) -> None:
        for _ in range(number):
            id = self.room.enqueue(priority=2 - level)
            self.model.waiting[level].append(id)
            self.levels[id] = level

    def step(self, worker: Worker, want: int) -> list[int]:
        """The levels of what is handed over, which is what the model hands over."""
        got = [entry.decode() for entry in self.room.step(worker, want).entries]
        expected = [self.model.grant() for _ in range(min(want, sum(map(len, self.model.waiting))))]
        assert got == expected
        self.room.step(worker, 0, [completed(id) for id in got])
        return [self.levels[id] for id in got]


@given(weights=WEIGHTS, calls=CALLS)
@PROFILE
def test_whatever_comes_and_goes_it_is_as_the_model_says(room: Room, weights: tuple[int, ...], calls: list) -> None:  # type: ignore[type-arg]
    room.redis.flushall()
    queue = Queue(room, weights)
    for call, which, number in calls:
        if call == "enqueue":
            queue.enqueue(which, number)
        else:
            queue.step(queue.workers[which], number)


@given(weights=WEIGHTS, before=CALLS, wants=st.lists(st.integers(1, 20), min_size=3, max_size=8))
@PROFILE
def test_in_every_window_in_which_all_wait_the_shares_hold_within_a_round(
    room: Room, weights: tuple[int, ...], before: list, wants: list[int]  # type: ignore[type-arg]
) -> None:  # fmt: skip
    """Whatever has been before: each gets its share of so many, give or take its share of one round."""
    room.redis.flushall()
    queue, granted = Queue(room, weights), []
    for call, which, number in before:
        if call == "enqueue":
            queue.enqueue(which, number)
        else:
            queue.step(queue.workers[which], number)
    for level in range(3):
        queue.enqueue(level, sum(wants))
    for number, want in enumerate(wants):
        granted += queue.step(queue.workers[number % 2], want)
    for start in range(len(granted)):
        counts: Counter[int] = Counter()
        for end in range(start, len(granted)):
            counts[granted[end]] += 1
            for level, weight in enumerate(weights):
                share = Fraction((end + 1 - start) * weight, sum(weights))
                assert abs(counts[level] - share) <= weight + 1, (granted[start : end + 1], weights)


def test_an_empty_priority_gives_its_share_to_the_others(room: Room) -> None:
    queue = Queue(room, (8, 3, 1))
    queue.enqueue(0, 30)
    queue.enqueue(2, 30)
    assert Counter(queue.step(queue.workers[0], 18)) == {0: 16, 2: 2}
    queue.enqueue(1, 30)
    assert Counter(queue.step(queue.workers[0], 12)) == {0: 8, 1: 3, 2: 1}


def test_strict_priorities_write_nothing_of_it(room: Room) -> None:
    worker = room.register(weights="strict")
    for priority in (0, 1, 2):
        room.enqueue(priority=priority)
    assert [room.head(entry.decode()).priority for entry in room.step(worker).entries] == [2, 1, 0]
    assert room.redis.hmget(room.key("META"), "weights", "passes") == [None, None]


def test_the_last_registration_decides_and_who_says_nothing_changes_nothing(room: Room) -> None:
    meta = room.key("META")
    Queue(room, (2, 1, 1)).step(room.register(), 1)
    room.register()
    assert room.redis.hget(meta, "weights") == b"2 1 1"
    room.register(weights="3 1 1")
    assert room.redis.hmget(meta, "weights", "passes") == [b"3 1 1", None]
    room.register(weights="strict")
    assert not room.redis.hexists(meta, "weights")


def test_what_a_worker_cannot_take_is_not_starved_by_it_and_saves_up_no_more_than_a_round(room: Room) -> None:
    worker = room.register(weights="1 1 1")
    other = room.register(["rare"], weights="1 1 1")
    room.redis.hset(room.key("LANES"), "rare", "parked 86400000")
    for _ in range(40):
        room.enqueue(priority=2)
        room.enqueue(priority=1)
        room.enqueue("rare", priority=0)
    for _ in range(10):
        assert len(room.step(worker, 3).entries) == 3
    got = [room.head(entry.decode()).priority for entry in room.step(other, 7).entries]
    assert got == [0, 0, 2, 1, 0, 2, 1]


@pytest.mark.parametrize("takes", ["suspects", "all"])
def test_a_suspect_of_a_low_priority_has_its_turn_too(room: Room, takes: str) -> None:
    first = room.register(weights="2 1 1")
    suspect = room.enqueue(priority=0)
    room.hold(first, suspect)
    room.recover(first, "died", step=first.number, started=[suspect.encode()])
    for _ in range(20):
        room.enqueue(priority=2)
    worker = room.register(takes=takes)  # type: ignore[arg-type]
    assert room.redis.exists(room.key("WAKE_ALONE"))
    for _ in range(4):
        step = room.step(worker, 1)
        if step.alone == 1:
            break
        room.step(worker, 0, [completed(entry.decode()) for entry in step.entries])
    assert [entry.decode() for entry in step.entries] == [suspect]
