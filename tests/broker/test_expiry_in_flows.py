"""expires= of tasks that wait in lanes: what is over blocks nothing, holds nothing, and is counted."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from tests.support.room import Room, Worker, completed, retried
from tests.support.rules import check_rules

HOUR, MINUTE = 3_600_000, 60_000
TYPES = ["job", "v2/job"]
GATES: dict[str, tuple[dict[str, Any], str]] = {
    "at once": ({"m": 1}, "a"),
    "at once per key": ({"mk": 1}, "a"),
    "in order": ({"o": 1}, "a"),
    "in turn": ({"f": 1, "m": 1}, "b"),
    "a rate per key": ({"r": f"{HOUR * 1000} 1"}, "a"),
}


def make(room: Room, policy: dict[str, Any], key: str | dict[str, Any] = "a", **options: Any) -> str:
    return room.enqueue(key=key, flow=msgpack.packb(policy), **options)


def take(room: Room, worker: Worker, want: int = 10, verdicts: list[bytes] | None = None) -> list[str]:
    return [entry.decode() for entry in room.step(worker, want, verdicts or []).entries]


def check_nothing_is_left(room: Room) -> None:
    check_rules(room)
    names = ("TASKS", "HELD", "RUNNING", "FLOWING", "RESUMES", "DEADLINES", "UNIQUES", "NAMED", "FILLING")
    assert [name for name in names if room.redis.exists(room.key(name))] == []


@pytest.mark.parametrize("name", GATES)
def test_what_is_over_in_a_closed_lane_is_gone_and_the_next_one_has_its_place(room: Room, name: str) -> None:
    policy, key = GATES[name]
    worker = room.register(TYPES, flows={"job": policy})
    first = make(room, policy)
    assert take(room, worker) == [first]
    late = [make(room, policy, key, expires_in=MINUTE) for _ in range(3)]
    after = make(room, policy, key)
    assert take(room, worker) == []
    room.pass_time(MINUTE + 1)
    room.tick()
    assert [room.where(id) for id in late] == ["expired"] * 3
    check_rules(room)
    assert room.lists()[room.key("LANE", f"default:v2/job {key}")] == [after], "no ghosts of them"
    room.step(worker, 0, [completed(first)])
    room.pass_time(HOUR)
    room.tick()
    assert take(room, worker) == [after]
    room.step(worker, 0, [completed(after)])
    assert room.ledger() == {"enqueued job": 5, "completed job": 2, "expired job": 3}
    check_nothing_is_left(room)


@pytest.mark.parametrize("key", ["", "a"])
def test_nobody_waits_for_the_tokens_that_one_would_have_taken_whose_time_is_over(room: Room, key: str) -> None:
    """`key`: of the budget; without one the whole type waits for it."""
    policy = {"b": {"money": [f"{HOUR * 10} 100"]}}  # 100 at once, one more every 36 s
    worker = room.register(TYPES, flows={"job": policy})
    first = make(room, policy, {"k": "a", "b": [["money", key, 99]]})
    late = make(room, policy, {"k": "a", "b": [["money", key, 90]]}, expires_in=MINUTE)
    cheap = make(room, policy, {"k": "a", "b": [["money", key, 1]]})
    assert take(room, worker) == [first], "then there is one token, and the next one costs 90"
    room.pass_time(MINUTE + 1)
    room.tick()
    assert room.where(late) == "expired"
    assert take(room, worker) == [cheap]


def test_what_nobody_has_ended_in_time_is_ended_by_who_takes(room: Room) -> None:
    """A step ends 100 of the queue. Further ones block nothing, although their lane is closed for what lives."""
    policy = {"b": {"money": [f"{HOUR * 10} 100"]}}
    worker = room.register(TYPES, flows={"job": policy})
    late = [make(room, policy, {"k": "a", "b": [["money", "", 90]]}, expires_in=MINUTE) for _ in range(250)]
    cheap = make(room, policy, {"k": "a", "b": [["money", "", 1]]})
    assert len(take(room, worker)) == 1
    room.pass_time(MINUTE + 1)
    assert take(room, worker) == [cheap]
    assert room.ledger()["expired job"] == 249
    room.step(worker, 0, [completed(late[0]), completed(cheap)])
    check_nothing_is_left(room)


def test_of_an_ordered_key_the_one_that_is_to_try_again_may_be_over(room: Room) -> None:
    policy = {"o": 1}
    worker = room.register(TYPES, flows={"job": policy})
    first, second = make(room, policy, expires_in=MINUTE), make(room, policy)
    assert take(room, worker) == [first]
    assert take(room, worker, verdicts=[retried(first, HOUR)]) == [], "it keeps its place"
    room.pass_time(MINUTE + 1)
    room.tick()
    assert (room.where(first), take(room, worker)) == ("expired", [second])
    room.step(worker, 0, [completed(second)])
    check_nothing_is_left(room)


@pytest.mark.parametrize("till", ["u", "s"])
def test_its_name_is_free(room: Room, till: str) -> None:
    policy = {"mk": 1}
    worker = room.register(TYPES, flows={"job": policy})
    make(room, policy)
    (first,) = take(room, worker)
    named = {"k": "a", till: "name"}
    late = make(room, policy, named, unique=True, expires_in=MINUTE)
    assert room.send("other", key=named, flow=msgpack.packb(policy), unique=True) == [f"first {late}"]
    room.pass_time(MINUTE + 1)
    room.tick()
    again = make(room, policy, named, unique=True)
    assert take(room, worker, verdicts=[completed(first)]) == [again]


def test_a_batch_does_not_begin_for_what_is_over_and_does_not_count_it(room: Room) -> None:
    policy = {"n": 3, "w": HOUR}
    worker = room.register(TYPES, flows={"job": policy})
    late = [make(room, policy, expires_in=MINUTE) for _ in range(2)]
    room.pass_time(MINUTE // 2)
    mine = [make(room, policy)]
    room.pass_time(MINUTE // 2 + 1)
    room.tick()
    assert [room.where(id) for id in late] == ["expired"] * 2
    mine += [make(room, policy)]
    assert take(room, worker) == [], "two of three are there"
    assert [int(ms) for ms in room.redis.hvals(room.key("FILLING"))] == [room.head(mine[0]).created_ms]
    mine += [make(room, policy)]
    assert take(room, worker) == mine


def test_a_batch_whose_first_ones_nobody_has_ended_in_time_waits_for_its_time_too(room: Room) -> None:
    policy = {"n": 300, "w": HOUR}
    worker = room.register(TYPES, flows={"job": policy})
    for _ in range(150):
        make(room, policy, expires_in=MINUTE)
    mine = make(room, policy)
    room.pass_time(MINUTE + 1)
    assert take(room, worker) == []
    assert room.ledger()["expired job"] == 150
    room.pass_time(HOUR)
    assert take(room, worker) == [mine]
