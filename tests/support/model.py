"""What the scripts promise, in plain Python without a broker: the state machine test compares them with it.

A `Life` is what a live entry stands for. An id has one after another. When a life ends while its entry waits in a list
it stays there as a ghost. All times are milliseconds since the model began.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distq.broker.keys import PRIORITIES
from tests.support.room import LEVELS

DAY = 86_400_000
ISOLATION = "!isolated"
ITS_LIMIT = {"job": 0, "mail": 2, "new": 1}
"""How often one of the type may kill its process, as it says itself; 1: it must not be started twice."""


@dataclass(eq=False)
class Life:
    """One life of an id: from an enqueue or a replay until its end."""

    id: str
    entry: str
    type: str
    priority: int
    expires: int | None = None
    state: str = "queued"
    attempt: int = 0
    deliveries: int = 0
    suspect: bool = False
    isolated: bool = False
    """A suspect that is to run while its host runs nothing else."""
    limit: int = 0
    """How often it may kill its process, as it says itself; 0: nothing."""
    has_records: bool = False
    """So says its head: it was replayed, or in a process that died."""
    records: int = 0
    """Of ended attempts."""
    due: int | None = None
    """When it becomes ready, while scheduled."""
    deadline: int | None = None
    """When it ends, while it waits."""
    ended_at: int | None = None
    result: str | None = None
    """The first word of the result, while that is kept."""
    waited_for: bool = False

    @property
    def level(self) -> str:
        return PRIORITIES[self.priority]

    @property
    def is_live(self) -> bool:
        return self.state in ("queued", "scheduled", "active")

    def __repr__(self) -> str:
        return f"<{self.entry} {self.state}>"


@dataclass
class Parked:
    """The lane of a type that a worker did not know."""

    patience: int


@dataclass
class Limit:
    """The lane of a limited type: one token every `interval`, at most `burst` at once."""

    interval: int
    burst: int
    tat: int = 0

    def tokens(self, now: int) -> int:
        return max(0, (now + self.burst * self.interval - max(self.tat, now)) // self.interval)

    def take(self, now: int, number: int) -> None:
        self.tat = max(self.tat, now) + number * self.interval

    def __str__(self) -> str:
        return f"{self.interval * 1000} {self.burst}"


@dataclass
class Place:
    """A registered worker."""

    types: Sequence[str]
    lease_until: int
    takes: str = "all"
    fence: int = 0
    reserved: int = 0
    alone: int = 0


@dataclass(frozen=True)
class Item:
    """One message of an enqueue call."""

    id: str
    type: str = "job"
    priority: int = 1
    token: str | None = None
    delay: int = 0
    expires_in: int = 0
    limit: tuple[int, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """On an entry: `after` is the delay of a retry or snooze, or the patience of a park."""

    life: Life
    word: str
    after: int = 0


@dataclass
class Model:
    """One queue."""

    now: int = 0
    lives: dict[str, Life] = field(default_factory=dict)
    """By id: the present life, or the last one as long as anything is known of it."""
    lists: dict[str, list[Life]] = field(default_factory=dict)
    """By the key's name. They hold ghosts too."""
    lanes: dict[str, Parked | Limit] = field(default_factory=dict)
    workers: dict[str, Place] = field(default_factory=dict)
    announced: dict[str, Sequence[str]] = field(default_factory=dict)
    """By group: the types that its workers know. It outlives them for a while."""
    sent: dict[str, str] = field(default_factory=dict)
    """By id given by a user: the token of the call that began its last life."""
    fence: int = 0
    keeper: str | None = None
    keeper_until: int = 0
    ledger: Counter[str] = field(default_factory=Counter)
    lane_order: dict[str, list[str]] = field(default_factory=dict)
    """Which lane of a level comes first is the broker's choice; this is what it chose. A new one comes last."""

    # -- what can be asked -------------------------------------------------------------------------------------------

    def live(self) -> list[Life]:
        return [life for life in self.lives.values() if life.is_live]

    def in_state(self, *states: str) -> list[Life]:
        return [life for life in self.lives.values() if life.state in states]

    def at(self, name: str) -> list[Life]:
        return self.lists.setdefault(name, [])

    def held(self, worker: str) -> list[Life]:
        return self.at(f"processing_queue:{worker}")

    def depth(self, level: str) -> int:
        return sum(life.is_live for name, lives in self.lists.items() if f":{level}" in name for life in lives)

    def lanes_at(self, level: str) -> list[str]:
        return [lane for lane in self.lane_order.get(level, ()) if self.lists.get(f"lane:{level}:{lane}")]

    def runnable_lanes(self) -> set[str]:
        """Those that hold something and have a token now."""
        lanes = {lane for level in LEVELS for lane in self.lanes_at(level)}
        return {lane for lane in lanes if self.tokens(lane) > 0}

    def tokens(self, lane: str) -> float:
        limit = self.lanes[lane]
        return limit.tokens(self.now) if isinstance(limit, Limit) else math.inf

    def next_time(self) -> int | None:
        """The earliest future time: something is due or over, or a limit, whose type somebody knows, has its token."""
        times = [time for life in self.live() for time in (life.due, life.deadline) if time is not None]
        known = {type for types in self.announced.values() for type in types}
        waiting = {lane for level in LEVELS for lane in self.lanes_at(level)} & known
        for lane in waiting - self.runnable_lanes():
            limit = self.lanes[lane]
            assert isinstance(limit, Limit)
            times.append(limit.tat - (limit.burst - 1) * limit.interval)
        return min(times, default=None)

    # -- enqueue -----------------------------------------------------------------------------------------------------

    def enqueue(self, item: Item) -> str:
        last = self.lives.get(item.id)
        if last and last.is_live:
            return "duplicate"
        if self.sent.get(item.id) == item.token if item.token else last and last.result:
            return "duplicate"
        life = Life(item.id, self._entry_for(item.id), item.type, item.priority, limit=ITS_LIMIT[item.type])
        self.lives[item.id] = life
        if item.token:
            self.sent[item.id] = item.token
        if item.expires_in:
            life.expires = self.now + item.expires_in
        if item.limit and not isinstance(self.lanes.get(item.type), Limit):
            self.lanes[item.type] = Limit(*item.limit)
        self._wait(life, item.delay)
        self.ledger[f"enqueued {item.type}"] += 1
        return "created"

    def _entry_for(self, id: str) -> str:
        if not any(life.entry == id for lives in self.lists.values() for life in lives):
            return id
        self.fence += 1
        return f"{id} {self.fence}"

    # -- where a live entry waits ------------------------------------------------------------------------------------

    def _wait(self, life: Life, delay: int = 0, front: bool = False) -> None:
        life.deadline = life.expires
        if delay > 0:
            life.state, life.due = "scheduled", self.now + delay
            return
        life.state, life.due = "queued", None
        lane = self.lanes.get(life.type)
        if life.isolated:
            name = f"lane:{life.level}:{ISOLATION}"
            self.lanes[ISOLATION] = Parked(0)
        elif life.suspect:
            name = f"suspects:{life.level}"
        elif lane is None:
            name = f"queue:{life.level}"
        else:
            name = f"lane:{life.level}:{life.type}"
            order = self.lane_order.setdefault(life.level, [])
            order += [] if life.type in order else [life.type]
            life.deadline = life.expires or self._patience(life)
        self.at(name).insert(0 if front else len(self.at(name)), life)

    def _patience(self, life: Life) -> int | None:
        """Until when it waits for a worker that knows its type."""
        lane = self.lanes.get(life.type)
        return self.now + lane.patience if isinstance(lane, Parked) else None

    def _end(self, life: Life, state: str, result: str | None = None) -> None:
        life.state, life.result, life.ended_at = state, result or state, self.now
        life.due = life.deadline = None
        self.ledger[f"{state} {life.type}"] += 1

    def _bury(self, life: Life) -> None:
        life.records += 1
        self._end(life, "dead")

    # -- step, settle ------------------------------------------------------------------------------------------------

    def settle(self, worker: str, verdicts: Iterable[Verdict]) -> int:
        """How many came too late."""
        late = 0
        for verdict in verdicts:
            if verdict.life in self.held(worker):
                self.held(worker).remove(verdict.life)
                self._apply(verdict, verdict.life)
            else:
                late += 1
        return late

    def give_back(self, worker: str, kept: list[Life]) -> None:
        """All that it holds but these, as what its last step has brought, too."""
        for life in list(reversed(self.held(worker))):
            if life not in kept:
                self.held(worker).remove(life)
                self._wait(life, front=True)
        self.workers[worker].reserved = 0

    def _apply(self, verdict: Verdict, life: Life) -> None:
        match verdict.word:
            case "complete" | "complete_again":
                self._end(life, "completed")
            case "bury":
                self._bury(life)
            case "release":
                life.limit = 1 if verdict.after else life.limit
                self._wait(life, front=True)
            case "retry":
                life.attempt, life.records = life.attempt + 1, life.records + 1
                life.suspect = life.isolated = False
                self.ledger[f"retried {life.type}"] += 1
                self._wait(life, verdict.after)
            case "snooze":
                life.suspect = life.isolated = False
                self._wait(life, verdict.after)
            case "park":
                life.suspect = life.isolated = False
                self.lanes.setdefault(life.type, Parked(verdict.after))
                self._wait(life)

    def step(self, worker: str, want: int, verdicts: Iterable[Verdict], number: int) -> tuple[list[Life], int, int]:
        """What it reserves, whether that is to run alone, and how many verdicts came too late."""
        late = self.settle(worker, verdicts)
        self.advance()
        place = self.workers[worker]
        if place.takes == "isolated":
            got, alone = self._take_isolated(want), 0
        else:
            got, alone = self._reserve(worker, want, number) if want else ([], 0)
        place.fence, place.reserved, place.alone = self.fence + 1 if got else 0, len(got), alone
        self.fence += len(got)
        for life in got:
            life.state, life.deadline = "active", None
        self.held(worker).extend(got)
        return got, alone, late

    def _reserve(self, worker: str, want: int, number: int) -> tuple[list[Life], int]:
        """Strictly by priority; within one: a suspect, into idle hands and alone; what is in lanes, each
        the first one by turns; what is ready. Some take no suspects, some only what is in lanes, some only suspects."""
        got: list[Life] = []
        takes, alone = self.workers[worker].takes, 0
        for level in LEVELS:
            if takes not in ("sound", "lanes") and self.at(f"suspects:{level}"):
                if self.held(worker):
                    alone = 2
                elif got:
                    return got, 2
                else:
                    got = self._take(f"suspects:{level}", 1)
                    if got:
                        return got, 1
            if takes == "suspects":
                if self.at(f"queue:{level}"):
                    break
                continue
            lanes = [lane for lane in self.lanes_at(level) if lane in self.workers[worker].types]
            for ahead in range(1, len(lanes) + 1):
                if len(got) < want:
                    got += self._take_from_lane(level, lanes[(number + ahead) % len(lanes)], want - len(got))
            if len(got) < want and takes != "lanes":
                got += self._take(f"queue:{level}", want - len(got))
            if len(got) >= want:
                break
        return got, alone

    def _take_isolated(self, want: int) -> list[Life]:
        got: list[Life] = []
        for level in LEVELS:
            got += self._take(f"lane:{level}:{ISOLATION}", want - len(got))
        self._leave_if_empty(ISOLATION)
        return got

    def _take(self, name: str, most: int) -> list[Life]:
        """From the front; ghosts vanish, and what has got a limit since it came moves into its lane."""
        got: list[Life] = []
        while len(got) < most and self.at(name):
            life = self.at(name).pop(0)
            if life.is_live and name.startswith("queue:") and isinstance(self.lanes.get(life.type), Limit):
                self._wait(life)
            elif life.is_live:
                got.append(life)
        return got

    def _take_from_lane(self, level: str, lane: str, most: int) -> list[Life]:
        got = self._take(f"lane:{level}:{lane}", int(min(most, self.tokens(lane))))
        limit = self.lanes[lane]
        if isinstance(limit, Limit) and got:
            limit.take(self.now, len(got))
        self._leave_if_empty(lane)
        return got

    def _leave_if_empty(self, lane: str) -> None:
        if isinstance(self.lanes.get(lane), Parked) and not any(self.at(f"lane:{level}:{lane}") for level in LEVELS):
            del self.lanes[lane]

    # -- time --------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Does what is due: first deadlines, then what was scheduled."""
        for life in self.live():
            if life.deadline is not None and life.deadline <= self.now:
                if life.expires is not None:
                    self._end(life, "expired")
                elif any(life.type in types for types in self.announced.values()):
                    life.deadline = self._patience(life)
                else:
                    self._bury(life)
        due = [life for life in self.in_state("scheduled") if life.due is not None and life.due <= self.now]
        for life in sorted(due, key=lambda life: life.due or 0):
            self._wait(life)

    def tick(self, host: str, lease: int, is_late: bool) -> bool:
        """Whether this host is the keeper. `is_late`: who is has let a time pass."""
        if self.keeper not in (None, host) and self.keeper_until >= self.now and not is_late:
            return False
        self.keeper, self.keeper_until = host, self.now + lease
        self.advance()
        return True

    # -- workers -----------------------------------------------------------------------------------------------------

    def register(
        self,
        worker: str,
        group: str,
        types: Sequence[str],
        limits: Mapping[str, tuple[int, int] | None],
        lease: int,
        takes: str = "all",
    ) -> None:
        """The last registration decides on limits."""
        self.workers[worker] = Place(types, self.now + lease, takes)
        self.announced[group] = types
        for type, declared in limits.items():
            lane = self.lanes.get(type)
            if declared:
                interval, burst = declared
                tat = min(lane.tat, self.now + burst * interval) if isinstance(lane, Limit) else 0
                self.lanes[type] = Limit(interval, burst, tat)
            elif isinstance(lane, Limit):
                self.lanes[type] = Parked(DAY)

    def renew(self, host: str, workers: Sequence[str], lease: int, is_late: bool) -> tuple[list[str], str]:
        """Who has not been renewed for half a lease, and who is the keeper. Ghosts at the front of lanes go."""
        for level in LEVELS:
            for lane in self.lanes_at(level):
                while self.at(f"lane:{level}:{lane}") and not self.at(f"lane:{level}:{lane}")[0].is_live:
                    self.at(f"lane:{level}:{lane}").pop(0)
                self._leave_if_empty(lane)
        for worker in workers:
            self.workers[worker].lease_until = self.now + lease
        if self.keeper == host:
            self.keeper_until = self.now + lease
        silent = [name for name, place in self.workers.items() if place.lease_until <= self.now + lease // 2]
        if is_late and self.keeper != host:
            return silent, ""
        return silent, (self.keeper or "") if self.keeper_until >= self.now else ""

    def recover(
        self, worker: str, how: str, max_deliveries: int, started: list[Life], elsewhere: int, verdicts: list[Verdict]
    ) -> tuple[int, int, int, int]:
        """How many were released, suspected, charged, and of these buried."""
        self.settle(worker, verdicts)
        tally: Counter[str] = Counter()
        takes = self.workers[worker].takes
        for life in reversed(self.held(worker)):
            may_have_begun = how == "lost" or life in started
            if may_have_begun and life.limit == 1:
                life.deliveries, life.records = life.deliveries + 1, life.records + 1
                tally.update(("charged", "buried"))
                self._bury(life)
            elif may_have_begun and how != "left":
                is_known = life.suspect or (how == "died" and len(started) + elsewhere == 1)
                is_charged = is_known and (how == "died" or takes in ("only", "isolated"))
                life.isolated = life.isolated or (how == "lost" and life.suspect and not is_charged)
                life.suspect = life.has_records = True
                life.deliveries, life.records = life.deliveries + is_charged, life.records + 1
                tally["charged" if is_charged else "suspected"] += 1
                if is_charged and life.deliveries >= (life.limit or max_deliveries):
                    tally["buried"] += 1
                    self._bury(life)
                else:
                    self._wait(life, front=True)
            else:
                tally["released"] += 1
                self._wait(life, front=True)
        del self.lists[f"processing_queue:{worker}"], self.workers[worker]
        return tally["released"], tally["suspected"], tally["charged"], tally["buried"]

    # -- people ------------------------------------------------------------------------------------------------------

    def _waiting(self, id: str) -> Life | str:
        """What waits; else the word for what does not."""
        life = self.lives.get(id)
        if life is None:
            return "unknown"
        if life.state == "active":
            return "running"
        return life if life.is_live else "ended"

    def cancel(self, id: str) -> str:
        life = self._waiting(id)
        if isinstance(life, str):
            return life
        self._end(life, "cancelled")
        return "cancelled"

    def reschedule(self, id: str, delay: int | None, priority: int | None) -> str:
        """What was ready leaves a ghost, and goes on as a further entry."""
        life = self._waiting(id)
        if isinstance(life, str):
            return life
        due = life.due or 0 if delay is None else self.now + delay if delay else 0
        if delay is not None and life.expires is not None and max(due, self.now) >= life.expires:
            return "expires"
        if life.state == "queued" and not delay and priority in (None, life.priority):
            return "rescheduled"
        if life.state == "queued":
            ghost = replace(life, state="gone")
            for lives in self.lists.values():
                lives[:] = [ghost if one is life else one for one in lives]
            self.fence += 1
            life.entry = f"{id} {self.fence}"
        life.priority = life.priority if priority is None else priority
        self._wait(life, max(0, due - self.now))
        self.ledger[f"rescheduled {life.type}"] += 1
        return "rescheduled"

    def purge(self, level: str) -> int:
        """How many entries it takes out, ghosts too."""
        if level == "scheduled":
            taken = self.in_state("scheduled")
        else:
            taken = []
            for name in self.lists:
                if name.startswith((f"queue:{level}", f"suspects:{level}", f"lane:{level}:")):
                    taken += self.lists[name]
                    self.lists[name] = []
        for life in taken:
            if life.is_live:
                self._end(life, "cancelled")
        return len(taken)

    def replay(self, id: str) -> str:
        dead = self.lives.get(id)
        if dead is None or dead.state != "dead":
            return "unknown"
        life = Life(
            id, self._entry_for(id), dead.type, dead.priority, limit=dead.limit, has_records=True,
            records=dead.records + 1,
        )  # fmt: skip
        self.lives[id] = life
        self._wait(life)
        self.ledger[f"replayed {life.type}"] += 1
        return "replayed"

    def purge_dead(self, id: str) -> int:
        dead = self.lives.get(id)
        if dead is None or dead.state != "dead":
            return 0
        del self.lives[id]
        return 1

    def forget_result(self, id: str) -> None:
        """The time for which the result is kept is over."""
        self.lives[id].result = None
        if self.lives[id].state != "dead":
            del self.lives[id]

    def expected_lists(self) -> dict[str, Any]:
        return {name: [life.entry for life in lives] for name, lives in self.lists.items() if lives}
