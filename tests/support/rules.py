"""What must be true after every script: checked after each test, and after each step of the state machine test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import msgpack

from distq.broker import keys, ledger
from distq.broker.scripts import script
from distq.message import HAS_MEMORY, parse
from tests.support.room import LEVELS, Room


def check_no_leaks(room: Room) -> None:
    """Every key has a TTL, or is on the list of those that may stand (keys.PERMANENT)."""
    names = [key.decode() for key in room.redis.scan_iter(count=1000)]
    for name, ttl in zip(names, room.ask_all(("TTL", name) for name in names), strict=True):
        if ttl == -1:
            assert any(pattern.match(name) for pattern in keys.PERMANENT), f"{name} has no TTL and is on no list"


def check_places(room: Room) -> None:
    """Every live task is in exactly one place; what else is in a list is a known ghost, or of a task that is over."""
    live = {entry.decode() for entry in room.redis.hkeys(room.key("TASKS"))}
    places: Counter[str] = Counter()
    for name, entries in room.lists().items():
        places.update(entry for entry in entries if entry in live)
        if "processing_queue:" in name:
            assert set(entries) <= live, f"{name} holds what is over"
            continue
        level = next(level for level in LEVELS if f":{level}" in name)
        ghosts = {entry.decode() for entry in room.redis.smembers(room.key("GHOSTS", level))}
        assert set(entries) - live <= ghosts, f"{name} holds entries that are over, but are no ghosts"
    places.update(entry.decode() for entry in room.redis.zrange(room.key("DELAYED"), 0, -1))
    assert places == Counter(live), f"places {places}, live {live}"


def check_ghosts(room: Room) -> None:
    """A ghost is in a list of its priority, and not alive: so that depths can be corrected by their number."""
    live = {entry.decode() for entry in room.redis.hkeys(room.key("TASKS"))}
    lists = room.lists()
    for level in LEVELS:
        waiting = [e for name, entries in lists.items() if f":{level}" in name for e in entries]
        for ghost in room.redis.smembers(room.key("GHOSTS", level)):
            assert ghost.decode() in waiting, f"ghost {ghost!r} is in no list of {level}"
            assert ghost.decode() not in live, f"ghost {ghost!r} is alive"


def check_generations(room: Room) -> None:
    """A generation stands for a live entry, and an id is never alive under two."""
    live = [entry.decode() for entry in room.redis.hkeys(room.key("TASKS"))]
    ids = Counter(keys.id_of(entry) for entry in live)
    assert all(number == 1 for number in ids.values()), f"alive twice: {ids}"
    numbered = {keys.id_of(entry): entry for entry in live if " " in entry}
    kept = {k.decode(): v.decode() for k, v in room.redis.hgetall(room.key("GENERATIONS")).items()}
    assert kept == numbered


def is_flow(room: Room, lane: str) -> bool:
    """Whether it is a lane of a flow."""
    return bool(room.redis.hget(room.key("LANES"), lane.partition(" ")[0]) == b"flow")


def check_flow(room: Room) -> None:
    """Of flows: a lane that holds entries has its turn, or is blocked and waits for something; what runs is alive."""
    for name, entries in room.lists().items():
        level, _, lane = name.partition(":lane:")[2].partition(":")
        if entries and is_flow(room, lane):
            at, key = f"{level}:{lane.partition(' ')[0]}", lane.partition(" ")[2]
            has_turn = room.redis.zscore(room.key("TURNS", at), key) is not None
            is_blocked = room.redis.hexists(room.key("BLOCKED", at), f":{key}")
            assert has_turn != is_blocked, f"{name}: has its turn: {has_turn}, is blocked: {is_blocked}"
    waiting: Counter[str] = Counter()
    for name, entries in room.lists().items():
        level, _, lane = name.partition(":lane:")[2].partition(":")
        if entries and is_flow(room, lane):
            waiting[f"{level} {lane.partition(' ')[0]}"] += len(entries)
    counted = {name.decode(): int(count) for name, count in room.redis.hgetall(room.key("FLOWING")).items()}
    assert counted == waiting
    lists = {name.partition(":lane:")[2].replace(":", " ", 1): entries for name, entries in room.lists().items()}
    for place in room.redis.hkeys(room.key("FILLING")):
        assert lists.get(place.decode().removesuffix(" ")), f"{place!r} has waited since, and is empty"
    _check_blocked(room)
    running: Counter[str] = Counter()
    for entry, gates in room.redis.hgetall(room.key("HELD")).items():
        assert room.redis.hexists(room.key("TASKS"), entry), f"{entry} is over, and counts as running"
        running.update(msgpack.unpackb(gates))
    assert running == {name.decode(): int(n) for name, n in room.redis.hgetall(room.key("RUNNING")).items()}


def _check_blocked(room: Room) -> None:
    resumes = {member.decode() for member in room.redis.zrange(room.key("RESUMES"), 0, -1)}
    gates: dict[str, set[str]] = {}
    for name in room.all_keys():
        if name.startswith(room.key("WAITERS")):
            members = {member.decode() for member in room.redis.smembers(name)}
            gates[name.removeprefix(room.key("WAITERS"))] = members
    for name in room.all_keys():
        if name.startswith(room.key("BLOCKED")):
            at = name.removeprefix(room.key("BLOCKED")).replace(":", " ", 1)
            for field, gate in room.redis.hgetall(name).items():
                member = f"{at} {field.decode()}"
                place = gates.get(gate.decode(), set()) if gate else resumes
                assert member in place, f"{member} is blocked by {gate!r}, and waits for nothing"
                place.discard(member)
    assert not resumes, f"they wait for a time, and are not blocked: {resumes}"
    assert not any(gates.values()), f"they wait for gates, and are not blocked: {gates}"


def check_names(room: Room) -> None:
    """Who has a name is alive, knows it, and no longer has it than its message says."""
    named = {entry: name for at in ("NAMED", "UNSTARTED") for entry, name in room.redis.hgetall(room.key(at)).items()}
    live = room.redis.hgetall(room.key("TASKS"))
    assert named.keys() <= live.keys(), f"over, and have a name: {named.keys() - live.keys()}"
    for name, entry in room.redis.hgetall(room.key("UNIQUES")).items():
        assert named.get(entry) == name, f"{entry} has {name}, and does not know it"
    held = {entry for list, entries in room.lists().items() if "processing_queue:" in list for entry in entries}
    unstarted = {entry.decode() for entry in room.redis.hkeys(room.key("UNSTARTED"))}
    assert not held & unstarted, "handed over, and not free"
    for entry, name in named.items():
        message = parse(live[entry])
        told = msgpack.unpackb(message.flow)
        field = "s" if entry.decode() in unstarted else "u"
        assert name.decode() == f"{message.type.partition('@')[0]} {told[field]}"


def check_lanes(room: Room) -> None:
    """A lane that holds entries is known at its priority, and is a lane."""
    for name, entries in room.lists().items():
        if ":lane:" in name and entries:
            level, lane = name.split(":lane:")[1].split(":", 1)
            if is_flow(room, lane):
                continue  # see check_flow
            assert room.redis.sismember(room.key("LANES_AT", level), lane), f"{name} is forgotten"
            assert room.redis.hexists(room.key("LANES"), lane), f"{lane} is no lane"


def check_marker(room: Room) -> None:
    """The marker rule. Runnable now: a marker exists. Not runnable: none does. Later: somebody is armed for it."""
    lists = room.lists()
    if room.redis.exists(room.key("STOPPED")):
        markers = [name for name in room.all_keys() if name.startswith(room.key("WAKE"))]
        assert not markers, f"the queue is paused, and there are markers: {markers}"
        return
    ready, suspects = ([bool(lists.get(room.key(name, level))) for level in LEVELS] for name in ("QUEUE", "SUSPECTS"))
    marked = bool(room.redis.exists(room.key("WAKE")))
    assert marked == any(ready), f"something is ready: {any(ready)}, marker: {marked}"
    marked = bool(room.redis.exists(room.key("WAKE_ALONE")))
    if any(suspects) and not any(ready[: suspects.index(True)]):
        assert marked, "a suspect is the next one, but there is no marker"
    assert any(suspects) or not marked, "a marker for suspects, but there is none"
    armed = room.redis.hget(room.key("META"), "armed")
    armed_ms = float("inf") if armed is None else float(armed)
    for name in ("DELAYED", "DEADLINES", "RESUMES", "FIRES"):
        first = room.redis.zrange(room.key(name), 0, 0, withscores=True)
        assert not first or armed_ms <= first[0][1], f"{name} is due at {first}, armed for {armed_ms}"
    _check_lane_markers(room, lists, armed_ms)


def _check_lane_markers(room: Room, lists: dict[str, list[str]], armed_ms: float) -> None:
    now_us = room.now_ms() * 1000
    groups = [digest.decode() for digest in room.redis.smembers(room.key("GROUPS"))]
    runnable: set[str] = set()
    for name, entries in lists.items():
        if ":lane:" not in name or not entries:
            continue
        level, lane = name.split(":lane:")[1].split(":", 1)
        if is_flow(room, lane):
            group, at = lane.partition(" ")[0], f"{level}:{lane.partition(' ')[0]}"
            if room.redis.exists(room.key("TURNS", at)) and not room.redis.hexists(room.key("BLOCKED", at), "g"):
                runnable.add(group)
            continue
        if not any(room.redis.sismember(room.key("TYPES", digest), lane) for digest in groups):
            continue  # nobody knows it: it wakes nobody, now or later
        limit = room.redis.hget(room.key("LIMITS"), lane.partition("@")[0])
        if limit is not None:
            interval, burst, tat = map(float, limit.split())
            next_us = tat - (burst - 1) * interval
            if next_us > now_us + 2000:
                assert armed_ms <= next_us / 1000 + 1, (
                    f"{lane} has its next token at {next_us / 1000}, armed {armed_ms}"
                )
                continue
            if armed_ms <= next_us / 1000 + 1 and armed_ms <= now_us / 1000:
                continue  # it became runnable since the last script; the keeper is armed for it
        runnable.add(lane)
    for digest in groups:
        knows = any(room.redis.sismember(room.key("TYPES", digest), lane) for lane in runnable)
        marked = bool(room.redis.exists(room.key("WAKE_GROUP", digest)))
        if knows:
            assert marked, f"{runnable} can run for group {digest}, but there is no marker"


def check_ledger(room: Room) -> None:
    """Every task that came has ended or is there, in each type and in all together."""
    reply = room.redis.eval(script("tally").text, 1, room.prefix)  # some tests break the room's own connection
    tally = ledger.tally(room.prefix).parse(reply)
    assert ledger.difference(tally) == 0, f"the ledger is not in balance: {tally}"
    assert tally.depths.live == ledger.placed(tally.depths), f"something is in no place, or in two: {tally}"
    live = Counter(parse(raw).type for raw in room.redis.hvals(room.key("TASKS")))
    for type, (counted, there) in ledger.alive_by_type(tally.counts, live).items():
        assert counted == there, f"type {type} is not in balance: {tally.counts}"


def check_shelves(room: Room) -> None:
    """All shelves are known, an id is on one at most, and neither a result nor an answer is of a life before."""
    names = room.redis.keys(room.key("SHELF").replace("[", "\\[") + "*")
    names = [name for name in names if not name.decode().startswith(room.key("SHELF", keys.LIVE_SHELF))]
    assert sorted(name.decode() for name in names) == sorted(room.shelves())
    ids = Counter(id.decode() for found in room.ask_all(("HKEYS", name) for name in names) for id in found if id)
    assert all(number == 1 for number in ids.values()), f"on two shelves: {ids}"
    live = {keys.id_of(entry.decode()) for entry in room.redis.hkeys(room.key("TASKS"))}
    assert not (live & set(ids)), "alive, and has a result"
    answered = {name.decode() for name in room.redis.keys(room.key("ANSWER").replace("[", "\\[") + "*")}
    assert not answered & {room.key("ANSWER", id) for id in live}, "alive, and answered"


def check_memories(room: Room) -> None:
    """What is remembered belongs to a task that is alive, or dead and may be replayed, and its head says so."""
    start = room.key("MEMORY")
    for name in room.all_keys():
        if name.startswith(start):
            id = name.removeprefix(start)
            raw = room.redis.hget(room.key("TASKS"), room.entry_of(id)) or room.redis.hget(room.key("DEAD"), id)
            assert raw is not None, f"{name} belongs to nobody"
            assert parse(raw).flags & HAS_MEMORY, f"{name}: the head of its task does not know of it"


def check_schedules(room: Room) -> None:
    """A schedule waits for its own next tick, unless it rests; and nothing is left of those that are gone."""
    known = {name.decode() for name in room.redis.smembers(room.key("SCHEDULES"))}
    waiting = {name.decode(): round(at) for name, at in room.redis.zrange(room.key("FIRES"), 0, -1, withscores=True)}
    for name in known:
        tick, paused = room.redis.hmget(room.key("SCHEDULE", name), "tick", "paused")
        rests = paused is not None or room.redis.zscore(room.key("ORPHANED"), name) is not None
        assert waiting.pop(name, None) == (None if rests else int(tick)), f"schedule {name}: {waiting}"
    assert not waiting, f"{waiting} tick, but are no schedules"
    for place in ("CODED", "ORPHANED"):
        found = room.redis.smembers(room.key(place)) if place == "CODED" else room.redis.zrange(room.key(place), 0, -1)
        assert {name.decode() for name in found} <= known, f"{place} has what is gone"
    for place in ("SCHEDULE", "FIRED"):
        names = {name.removeprefix(room.key(place)) for name in room.all_keys() if name.startswith(room.key(place))}
        assert names <= known, f"{place} has what is gone"


ALL = (
    check_no_leaks, check_places, check_ghosts, check_generations, check_names, check_lanes, check_flow, check_marker,
    check_ledger, check_shelves, check_memories, check_schedules,
)  # fmt: skip


NOTHING: dict[str, Callable[[], Any]] = {
    "exists": bool, "hexists": bool, "hget": lambda: None, "hgetall": dict, "hkeys": list, "hvals": list,
    "sismember": bool, "smembers": set, "zrange": list, "zscore": lambda: None,
}  # fmt: skip
"""What is read of a key that is not there."""


class _Still:
    """A room in which nothing moves: its lists and keys are read once for all rules, and nobody asks for what is not
    there. Most keys are not."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.lists = cache(room.lists)
        self.all_keys = cache(room.all_keys)
        self.redis = _Reads(room.redis, self.all_keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)


class _Reads:
    """The commands of its server."""

    def __init__(self, server: Any, names: Callable[[], list[str]]) -> None:
        self._server, self._names = server, names

    def __getattr__(self, command: str) -> Any:
        ask, nothing = getattr(self._server, command), NOTHING.get(command)
        if nothing is None:
            return ask

        def read(key: str, *args: Any, **more: Any) -> Any:
            assert isinstance(key, str), f"{key!r} would be in no list of names"
            return ask(key, *args, **more) if key in self._names() else nothing()

        return read


def check_rules(room: Room) -> None:
    """All of them."""
    still = cast("Room", _Still(room))
    for check in ALL:
        check(still)
