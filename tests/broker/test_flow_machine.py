"""Any sequence of calls keeps what a flow promises: its limits, its order, and that what may run is handed over.

A model in plain Python says what may run; the rules of tests/support/rules.py are checked after every call.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from distq.broker import moves
from distq.broker.keys import id_of
from tests.support.model import ISOLATION
from tests.support.room import Room, Worker, completed, verdict
from tests.support.rules import check_rules

WAITING = ("queued", "scheduled")
DONE = "rescheduled"
HOUR = 3_600_000
RECORD = msgpack.packb({"outcome": "raised", "type": "E"})
EXAMPLES = int(os.environ.get("DISTQ_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 12, derandomize=not EXAMPLES, deadline=None, database=None,
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip

POLICIES: dict[str, dict[str, Any]] = {
    "at once": {"m": 2},
    "at once per key": {"mk": 1},
    "both": {"m": 2, "mk": 1},
    "in order": {"o": 1},
    "in turn": {"f": 1},
    "a rate per key": {"r": f"{HOUR * 1000} 2"},
    "all": {"m": 3, "o": 1, "f": 1, "r": f"{HOUR * 1000} 2"},
}

CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("expiring"), st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("step"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("end"), st.sampled_from(["complete", "retry", "retry", "snooze", "bury", "release"]),
                  st.integers(0, 9)),
        st.tuples(st.just("recover"), st.sampled_from(["died", "lost", "left"]), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.just(""), st.integers(0, 30)),
        st.tuples(st.just("move"), st.sampled_from([None, 0, 2]), st.integers(0, 30)),
        st.tuples(st.just("pass"), st.just(""), st.integers(1, 2)),
    ),
    min_size=10, max_size=50,
)  # fmt: skip


@dataclass
class Flow:
    """One type on a real server, and who holds what of it."""

    room: Room
    policy: dict[str, Any]
    keys: dict[str, str] = field(default_factory=dict)
    """Of every id that was ever enqueued, in the order of their calls."""
    workers: list[Worker] = field(default_factory=list)
    held: dict[str, Worker] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)
    hours: int = 0
    expires: dict[str, int] = field(default_factory=dict)
    """The hour after which an id that waits is over."""
    grants: Counter[str] = field(default_factory=Counter)
    """Per key since the bucket was last known to be full."""

    def register(self) -> None:
        self.workers.append(self.room.register(["job", "v2/job"], flows={"job": self.policy}, takes="all"))

    def enqueue(self, key: str, number: int, **options: Any) -> None:
        for _ in range(number):
            id = self.room.enqueue(key=key, flow=msgpack.packb(self.policy), **options)
            self.keys[id] = key
            if options:
                self.expires[id] = self.hours + 1

    def step(self, which: int, want: int, verdicts: list[bytes] | None = None) -> list[str]:
        worker = self.workers[which]
        got = [id_of(entry.decode()) for entry in self.room.step(worker, want, verdicts or []).entries]
        for id in got:
            assert id not in self.held, "two workers hold it"
            self.held[id] = worker
            if id not in self.suspects:
                self.grants[self.keys[id]] += 1
            self.check_order(id)
        self.check_limits()
        return got

    def end(self, word: str, which: int) -> None:
        held = sorted(self.held)
        if not held:
            return
        id = held[which % len(held)]
        worker = self.held.pop(id)
        self.suspects.discard(id)
        later = HOUR if word in ("retry", "snooze") else 0
        entry = self.room.entry_of(id)
        blob = (
            completed(entry)
            if word == "complete"
            else verdict(entry, word, number=later, blob=RECORD if word in ("retry", "bury") else b"")
        )
        self.room.step(worker, 0, [blob])

    def recover(self, how: Any, which: int) -> None:
        worker = self.workers.pop(which)
        mine = [id for id, holder in self.held.items() if holder is worker]
        self.room.recover(
            worker, how, started=[self.room.entry_of(id).encode() for id in mine] if how == "died" else []
        )
        for id in mine:
            del self.held[id]
            if how != "left":
                self.suspects.add(id)
        self.register()

    def cancel(self, which: int) -> None:
        waiting = [id for id in self.keys if id not in self.held]
        if waiting and self.room.cancel(waiting[which % len(waiting)]) == "cancelled":
            self.suspects.discard(waiting[which % len(waiting)])

    def move(self, priority: int | None, which: int) -> None:
        """To a later time; and what is in order back again, to the end of its key."""
        waiting = [
            id for id in self.keys if id not in self.held and id not in self.expires
        ]  # they would be over by then
        if not waiting:
            return
        id, is_ordered = waiting[which % len(waiting)], "o" in self.policy
        has_place = self.room.redis.hexists(self.room.key("HELD"), self.room.entry_of(id))
        word = self._change(id, moves.Change("delay", HOUR, None if is_ordered else priority))
        assert word == (
            "ended" if self.room.where(id) not in WAITING else "suspect" if id in self.suspects and has_place else DONE
        )
        if is_ordered and word == DONE:
            assert self._change(id, moves.Change("delay", 0)) == DONE
            if not has_place:
                self.keys[id] = self.keys.pop(id)

    def _change(self, id: str, change: moves.Change) -> str:
        [word] = self.room.run(moves.reschedule(self.room.prefix, [id], change))
        return word

    def check_limits(self) -> None:
        counted = [
            id
            for id in (*self.held, *(self.suspects - self.held.keys()))
            if self.room.where(id) in ("active", "queued")
        ]
        assert len(counted) <= self.policy.get("m", 99)
        most = 1 if "o" in self.policy else self.policy.get("mk", 99)
        assert all(number <= most for number in Counter(self.keys[id] for id in counted).values())
        if "r" in self.policy:
            assert all(number <= 2 for number in self.grants.values())

    def check_order(self, id: str) -> None:
        """In order: all of its key that were enqueued before it have ended."""
        if "o" in self.policy:
            mine = [other for other, key in self.keys.items() if key == self.keys[id]]
            for other in mine[: mine.index(id)]:
                assert self.room.where(other) in ("completed", "dead", "cancelled", "expired", "none")

    def drain(self) -> None:
        """Whatever happened before: in time everything is handed over and ends."""
        self.workers.append(self.room.register([ISOLATION], takes="isolated"))  # for what was lost twice
        for _ in range(300):
            for id, worker in list(self.held.items()):
                self.room.step(worker, 0, [completed(self.room.entry_of(id))])
                del self.held[id]
                self.suspects.discard(id)
            if not any(self.step(which, 5) for which in range(3)):
                if self.room.redis.hlen(self.room.key("TASKS")) == 0:
                    break
                self.pass_time(2)
        assert self.room.redis.hlen(self.room.key("TASKS")) == 0, "something is never handed over"
        left = ("HELD", "RUNNING", "FLOWING", "RESUMES")
        assert not self.room.redis.exists(*(self.room.key(name) for name in left))

    def pass_time(self, hours: int) -> None:
        self.room.pass_time(hours * HOUR + 1)
        self.hours += hours
        self.room.tick()
        over = {id for id, hour in self.expires.items() if hour <= self.hours and id not in self.held}
        for id in over:
            assert self.room.where(id) in ("expired", "completed", "dead", "cancelled", "none"), "its time is over"
        self.suspects -= over
        self.grants = Counter({key: max(0, number - hours) for key, number in self.grants.items()})


@pytest.mark.parametrize("name", POLICIES)
def test_whatever_happens_a_flow_keeps_what_it_promises(room: Room, name: str) -> None:
    @PROFILE
    @given(CALLS)
    def check(calls: list[tuple[str, Any, int]]) -> None:
        room.redis.flushdb()
        flow = Flow(room, POLICIES[name])
        flow.register()
        flow.register()
        for what, how, number in calls:
            match what:
                case "enqueue":
                    flow.enqueue(how, number)
                case "expiring":
                    flow.enqueue(how, number, expires_in=HOUR)
                case "step":
                    flow.step(how, number)
                case "end":
                    flow.end(how, number)
                case "recover":
                    flow.recover(how, number)
                case "cancel":
                    flow.cancel(number)
                case "move":
                    flow.move(how, number)
                case _:
                    flow.pass_time(number)
            check_rules(room)
        flow.drain()
        check_rules(room)

    check()
