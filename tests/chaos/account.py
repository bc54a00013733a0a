"""The account of a storm: a table for people, JSON for the documentation, and what is wrong."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.evidence import Evidence, Fault, Run, judge
from tests.chaos.release import LAST
from tests.chaos.stage import LEASE_S, Stage

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

SHOWN = 3


@dataclass
class Account:
    """What happened."""

    command: str
    seed: int
    server: str
    last_release: str
    started: dict[str, int]
    lease_s: float
    called: int
    acknowledged: int
    raised: int
    ghosts: int
    """Calls that raised, or whose producer was killed, and whose task was there all the same."""
    kinds: dict[str, int]
    endings: dict[str, int]
    runs: int
    repeated: dict[str, int]
    """Fault -> runs that were repeated because of it."""
    overlaps: dict[str, int]
    faults: dict[str, int]
    recovery_s: dict[str, float]
    """Fault -> the longest time until a task that it had interrupted ran again, also with other faults meanwhile; for
    faults of the broker, without others, from its return until a task came to its end."""
    alone_s: dict[str, float]
    """The same where nothing else was broken meanwhile: no other fault of that host or of the broker."""
    poison: dict[str, int]
    """Deliveries -> poison tasks that were dead after so many."""
    keys_left: dict[str, int]
    seconds: float = 0
    drained_in_s: float = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        return [
            f"{len(texts)} × {kind}, such as " + "; ".join(texts[:SHOWN]) for kind, texts in self.wrong.items() if texts
        ]

    def numbers(self) -> dict[str, Any]:
        """For the JSON: what is wrong by its number."""
        return asdict(self) | {"wrong": {kind: len(texts) for kind, texts in self.wrong.items() if texts}}

    def __str__(self) -> str:
        rows: list[tuple[str, object]] = [
            ("server", self.server), ("last release", self.last_release), ("started", _list(self.started)),
            ("seconds", f"{self.seconds:g}, of which {self.drained_in_s:g} until all had ended"),
            ("faults", f"{sum(self.faults.values())}: {_list(self.faults)}"),
            ("calls", f"{self.called:,}: {_list(self.kinds)}"),
            ("acknowledged", f"{self.acknowledged:,}"),
            ("raised", f"{self.raised:,}, of which {self.ghosts} were there all the same"),
            ("ended", _list(self.endings)), ("runs", f"{self.runs:,}"),
            ("repeated runs", f"{sum(self.repeated.values())}: {_list(self.repeated)}"),
            ("overlaps", f"{sum(self.overlaps.values())}: {_list(self.overlaps)}"),
            ("poison", _list({f"dead after {number}": many for number, many in self.poison.items()})),
            ("longest recovery", _list({kind: f"{s:.2f} s" for kind, s in self.recovery_s.items()})),
            ("without others", _list({kind: f"{s:.2f} s" for kind, s in self.alone_s.items()})),
            ("keys left", _list(self.keys_left)),
        ]  # fmt: skip
        return "\n".join([f"{self.command} (seed {self.seed})", *(f"  {name:17} {text}" for name, text in rows)])


def _list(numbers: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"


def account(storm: Storm, stage: Stage, found: Evidence) -> Account:
    """Counts and judges."""
    calls = found.calls.values()
    labels = {runs[0].label for runs in found.runs.values()}
    repeated: Counter[str] = Counter()
    recovery: dict[str, float] = {}
    alone: dict[str, float] = {}
    for before, after in found.repeated():
        fault = found.explanation(before, after)
        repeated[fault.kind if fault else "nothing"] += 1
        if fault and not fault.parts:
            took = round(after.started - max(fault.begun, before.started), 2)
            for longest in (recovery, *([] if _others(found, fault, before, after) else [alone])):
                longest[fault.kind] = max(longest.get(fault.kind, 0.0), took)
    overlaps = Counter(fault.kind if fault else "nothing" for _, _, fault in found.overlaps())
    info = stage.room.redis.info("server")
    return Account(
        command=f"python -m tests.chaos --minutes {storm.seconds / 60:g}",
        seed=storm.seed,
        server=f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}",
        last_release=LAST if stage.last.name == LAST else "not there: both sides are the working tree",
        started=dict(sorted(stage.started.items())),
        lease_s=LEASE_S,
        called=len(calls),
        acknowledged=len(found.acked),
        raised=sum(1 for call in calls if not call.id),
        ghosts=sum(1 for call in calls if not call.id and call.label in labels),
        kinds=dict(Counter(call.kind for call in calls).most_common()),
        endings=dict(Counter(found.endings[id].word for id in found.acked if id in found.endings).most_common()),
        runs=sum(map(len, found.runs.values())),
        repeated=dict(repeated.most_common()),
        overlaps=dict(overlaps.most_common()),
        faults=dict(Counter(fault.kind for fault in found.faults).most_common()),
        recovery_s=recovery | _broker_recovery(found),
        alone_s=alone,
        poison=_poison(found),
        keys_left=_keys(stage),
        wrong=judge(found),
    )


def _poison(found: Evidence) -> dict[str, int]:
    endings = [found.endings[id] for id, call in found.acked.items() if call.kind == "poison" and id in found.endings]
    return dict(Counter(f"{ending.deliveries} deliveries" for ending in endings))


def _others(found: Evidence, fault: Fault, before: Run, after: Run) -> list[Fault]:
    """Faults that could have held the task up, too."""
    return [
        other
        for other in found.faults
        if other is not fault
        and other.host in (None, before.host, after.host)
        and other.begun <= after.started
        and other.ended + other.reach >= fault.begun
    ]


def _broker_recovery(found: Evidence) -> dict[str, float]:
    """From the broker's return to the next end of a task, where there was no other fault at the same time."""
    ends = sorted(run.ended for runs in found.runs.values() for run in runs if run.ended is not None)
    longest: dict[str, float] = {}
    for fault in found.faults:
        if fault.host is None and fault.pid is None:
            at = bisect_left(ends, fault.ended)
            took = ends[at] - fault.ended if at < len(ends) else 0.0
            if any(_meets(other, fault.begun, fault.ended + took) for other in found.faults if other is not fault):
                continue
            longest[fault.kind] = max(longest.get(fault.kind, 0.0), round(took, 2))
    return longest


def _meets(fault: Fault, begun: float, ended: float) -> bool:
    return fault.kind != "poison task" and fault.begun <= ended and fault.ended >= begun


def _keys(stage: Stage) -> dict[str, int]:
    """By the first word of their name, those with a TTL apart."""
    names = stage.room.all_keys()
    kinds: Counter[str] = Counter()
    for name, ttl in zip(names, stage.room.ask_all(("TTL", name) for name in names), strict=True):
        kinds[name.split("}:")[1].split(":")[0] + (" (with a TTL)" if ttl >= 0 else "")] += 1
    return dict(kinds.most_common())


def written(accounts: list[Account]) -> str:
    """As JSON."""
    return json.dumps([one.numbers() for one in accounts], indent=1, ensure_ascii=False) + "\n"
