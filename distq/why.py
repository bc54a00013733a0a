"""Why a task is not running: each gate that keeps it back names itself, with its numbers. The text is made here, of
what one script has seen at one instant (broker/lua/why.lua).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from distq.broker import controls
from distq.broker.forward import moved_to
from distq.broker.inspect import attempts, whole
from distq.controls import moment, rate_text, type_limits
from distq.durations import format_duration
from distq.message import check_id
from distq.rate import Rate
from distq.states import State
from distq.weights import shown

if TYPE_CHECKING:
    from distq.app import Distq

MOST_AHEAD = 10_000
"""The script counts no further."""


@dataclass(frozen=True)
class Gate:
    """One reason: its name, a sentence for people, and its numbers."""

    name: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Why:
    """Why a task is not running, or what has become of it."""

    id: str
    state: State
    queue: str
    type: str
    priority: str
    waiting: float
    """Seconds since the call, by the broker's clock; 0: it does not wait."""
    gates: tuple[Gate, ...]

    @property
    def text(self) -> str:
        """In one line."""
        waits = f"waiting {format_duration(self.waiting)}: " if self.state in ("queued", "scheduled") else ""
        return waits + " · ".join(gate.text for gate in self.gates)


def why(app: Distq, id: str) -> Why:
    """See `Distq.why`."""
    queues = list(dict.fromkeys(app.queues_of(check_id(id))))
    for queue in queues:
        facts = controls.why(app.broker, queue, id)
        if facts.known:
            known = _Known(app, queue, facts.known)
            state: State = "scheduled" if facts.state == "scheduled" else known.state
            return Why(
                id, state, queue, known.type, known.text("level"), 0.0 if state == "running" else known.waited_s,
                tuple(_gates(known, state)),
            )  # fmt: skip
        if facts.state != "unknown" and moved_to(facts.element) is None:
            return _ended(app, queue, id, facts)
    gate = Gate("unknown", "no task of this id is known: it never was, or what was kept of it is over")
    return Why(id, "unknown", queues[0], "", "", 0.0, (gate,))


# -- what is over -----------------------------------------------------------------------------------------------------


def _ended(app: Distq, queue: str, id: str, facts: controls.Facts) -> Why:
    word, said = _ending(app, facts.element)
    state: State = word if word in ("completed", "cancelled", "expired") else "dead"  # type: ignore[assignment]
    if state == "dead" and not said:
        said = (attempts(app.broker, queue, id) or [{}])[-1]
    texts = {
        "completed": "it is completed",
        "cancelled": f"it was cancelled by {said.get('by', '?')}",
        "expired": "its time was over before it could start",
        "dead": f"it is a dead letter ({said.get('type', '?')}: {said.get('message', '')})",
    }
    at_ms = whole(said.get("at"))
    when = f" since {clock(at_ms)}" if at_ms else ""
    return Why(id, state, queue, "", "", 0.0, (Gate(state, texts[state] + when, {"at_ms": at_ms or None}),))


def _ending(app: Distq, element: bytes | None) -> tuple[str, dict[str, Any]]:
    if element is None:
        return "dead", {}
    try:
        word, *rest = app.codec.unpack(element)
    except (ValueError, TypeError):
        return "dead", {}
    if word == "completed":
        return word, {"at": rest[1]} if len(rest) > 1 else {}
    return str(word), rest[0] if rest and isinstance(rest[0], dict) else {}


# -- what is alive ----------------------------------------------------------------------------------------------------


class _Known:
    """What the script has seen of a live task."""

    def __init__(self, app: Distq, queue: str, said: Mapping[str, Any]) -> None:
        self.app, self.queue, self._said = app, queue, said
        self.type, self.place = str(said.get("type", "")), str(said.get("place", "none"))
        self.key = str(said.get("key", ""))
        self.now_ms = self.number("now")
        limits = controls.Limits(self.text("limit").rpartition(" ")[0], self.map("policy"), self.map("override"))
        self.limits = type_limits(self.type, queue, limits)

    @property
    def state(self) -> State:
        return "running" if self._said.get("worker") else "queued"

    @property
    def waited_s(self) -> float:
        return max(0.0, (self.now_ms - self.number("created")) / 1000)

    def number(self, name: str) -> int:
        return whole(self._said.get(name))

    def text(self, name: str) -> str:
        value = self._said.get(name)
        return value if isinstance(value, str) else ""

    def map(self, name: str) -> dict[str, Any]:
        value = self._said.get(name)
        return value if isinstance(value, dict) else {}

    def has(self, name: str) -> bool:
        return bool(self._said.get(name))

    def list(self, name: str) -> list[Any]:
        value = self._said.get(name)
        return value if isinstance(value, list) else []

    @property
    def key_name(self) -> str:
        """ "tenant 7", if the declaration is at hand."""
        task = self.app.tasks.get(self.type.partition("@")[0])
        key = task.declaration.flow.key if task is not None and task.declaration.flow else None
        return f"{key if isinstance(key, str) else 'key'} {self.key or '(none)'}"


def _gates(known: _Known, state: State) -> Iterator[Gate]:
    """All that keeps it back, what is most to the point first."""
    found: list[Gate] = []
    if state == "running":
        found += _running(known)
    elif state == "scheduled":
        found += [*_scheduled(known), *_paused(known), *_nobody(known)]
    else:
        found += [
            *_paused(known),
            *_nobody(known),
            *_suspicion(known),
            *_limits(known),
            *_budgets(known),
            *_line(known),
        ]
        found += _busy(known)
        if not found:
            found.append(Gate("ready", "nothing keeps it back: a worker takes it now"))
    if known.has("cancelled_by"):
        found.append(Gate("told_to_end", f"{known.text('cancelled_by')} has told it to end"))
    if state != "running" and known.number("expires"):
        left = known.number("expires") - known.now_ms
        found.append(Gate("expires", f"it expires {_in(left)}", {"expires_in_ms": left}))
    yield from found


def _running(known: _Known) -> Iterator[Gate]:
    worker = known.map("worker")
    before, holds, name = whole(worker.get("before")), whole(worker.get("holds")), str(worker.get("name", ""))
    place = f" (number {before + 1} of {holds} that it has taken)" if holds > 1 else ""
    yield Gate("running", f"worker {name} has it{place}", {"worker": name, "before": before, "holds": holds})
    late = known.now_ms - whole(worker.get("lease"))
    if late > 0:
        yield Gate(
            "worker_lost", f"nobody has heard of that worker for {_span(late)}: any host gives its tasks to others",
            {"silent_ms": late},
        )  # fmt: skip


def _scheduled(known: _Known) -> Iterator[Gate]:
    due, attempt = known.number("due"), known.number("attempt")
    left = due - known.now_ms
    what = "scheduled for" if attempt == 0 else f"attempt {attempt + 1} comes at"
    yield Gate("scheduled", f"{what} {clock(due)} ({_in(left)})", {"due_at_ms": due, "attempt": attempt + 1})
    if not known.has("keeper"):
        yield Gate("no_keeper", "no worker host is alive that would see to it at that time")


def _paused(known: _Known) -> Iterator[Gate]:
    """By whom, and since when."""
    for name, what in (
        ("stopped", f"queue {known.queue}"),
        ("paused", f"type {known.type.partition('@')[0]}"),
        ("paused_key", f"{known.key_name} of type {known.type.partition('@')[0]}"),
    ):
        note = known.map(name)
        if note:
            at = whole(note.get("at"))
            gate = {"stopped": "queue_paused", "paused": "type_paused", "paused_key": "key_paused"}[name]
            by, reason = str(note.get("by", "")), str(note.get("why", ""))
            text = f"{what} is paused by {by} since {clock(at)}{f': {reason}' if reason else ''}"
            yield Gate(gate, text, {"by": by, "since_ms": at, "reason": reason})


def _nobody(known: _Known) -> Iterator[Gate]:
    """Is there a worker that could take it?"""
    workers = {name: whole(number) for name, number in known.map("workers").items()}
    alive, knowing, can = workers.get("alive", 0), workers.get("know", 0), workers.get("can", 0)
    if not alive:
        yield Gate("no_worker", "no worker of this queue is alive", {"hosts": known.number("hosts")})
    elif not knowing:
        listen = "1 worker listens" if alive == 1 else f"{alive:,} workers listen"
        none = "and does not run" if alive == 1 else "and none runs"
        text = f"{listen} to this queue, {none} type {known.type}"
        left = known.number("deadline") - known.now_ms
        if known.number("deadline") and known.place == "lane":
            text += f": it is a dead letter {_in(left)} if none comes"
        yield Gate("unknown_type", text, workers)
    elif not can and known.place in ("ready", "lane"):
        yield Gate("quiet", f"none of the {knowing:,} workers that run type {known.type} takes anything new", workers)


def _suspicion(known: _Known) -> Iterator[Gate]:
    lost = known.number("deliveries")
    killed = f" ({lost} died with it alone)" if lost else ""
    if known.has("is_isolated"):
        yield Gate(
            "isolated", "its host was lost with it more than once: it runs alone, while a host runs nothing else"
        )
    elif known.has("is_suspect"):
        yield Gate(
            "suspect", f"a process that ran it has died{killed}: it runs alone, when a worker has nothing else",
            {"deliveries": lost},
        )  # fmt: skip


def _limits(known: _Known) -> Iterator[Gate]:
    """What the type is limited to, if that is used up."""
    if known.place not in ("lane", "ready"):
        return
    now, said = known.limits.now, _said_by(known)
    type = known.type.partition("@")[0]
    declared, _, full = known.text("limit").rpartition(" ")
    wait = _lacks(known, declared, full)
    if wait:
        yield Gate(
            "rate", f"type {type} is limited to {now.rate}, next token {_in(wait)}{said}", _rated(now.rate, wait)
        )
    policy = known.map("policy")
    runs, each, holds = known.number("running"), known.number("running_key"), known.has("holds")
    if now.max_running and runs >= now.max_running and not holds:
        yield _full("max_running", f"type {type}", runs, now.max_running, said)
    if now.max_running_per_key and each >= now.max_running_per_key and not holds:
        if policy.get("o"):
            yield Gate("ordered", f"an earlier one of {known.key_name} has not ended: they run in their order")
        else:
            yield _full("max_running_per_key", known.key_name, each, now.max_running_per_key, said)
    wait = _lacks(known, str(policy.get("r", "")), known.number("bucket"))
    if wait:
        text = f"{known.key_name} is limited to {now.rate_per_key}, next token {_in(wait)}{said}"
        yield Gate("rate_per_key", text, _rated(now.rate_per_key, wait))


def _full(gate: str, what: str, runs: int, most: int, said: str) -> Gate:
    return Gate(gate, f"{what} has {runs:,} of {most:,} running{said}", {"running": runs, "most": most})


def _rated(rate: str | None, wait_ms: float) -> dict[str, Any]:
    return {"rate": rate, "next_in_ms": round(wait_ms, 3)}


def _said_by(known: _Known) -> str:
    """Who has set other limits than the declared ones."""
    limits = known.limits
    if not limits.is_set or limits.since is None:
        return ""
    return f" (set by {limits.by} at {clock(limits.since.timestamp() * 1000)}; declared: {limits.declared.text})"


def _lacks(known: _Known, declared: str, full_us: object, cost: float = 1) -> float:
    """In how many ms a bucket has enough; 0: it has. As parts/limit.lua and parts/flow.lua reckon."""
    rate = Rate.read(declared)
    if rate is None:
        return 0.0
    now_us = float(known.number("now_us"))
    interval, burst = map(float, declared.split())
    try:
        full = min(max(float(full_us), now_us), now_us + burst * interval)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    wait_us = full + cost * interval - burst * interval - now_us
    return wait_us / 1000 if wait_us > 1 else 0.0


def _budgets(known: _Known) -> Iterator[Gate]:
    """Of the budgets that it takes from."""
    for found in known.list("budgets"):
        if not isinstance(found, dict):
            continue
        name, key, *costs = found.get("use") or ("", "")
        called = f"budget {name}" + (f" of {key}" if key else "")
        till = whole(found.get("till"))
        if till > known.now_ms:
            text = f"{called} is parked, it goes on {_in(till - known.now_ms)}"
            yield Gate("budget_parked", text, {"budget": name, "key": key, "next_in_ms": till - known.now_ms})
        declared, full = found.get("declared"), found.get("full")
        for number, limit in enumerate(declared if isinstance(declared, list) else ()):
            cost = costs[number] if number < len(costs) else 0
            rate = rate_text(str(limit))
            tat = full[number] if isinstance(full, list) and number < len(full) else 0
            wait = _lacks(known, str(limit), tat, cost) if cost else 0
            if wait:
                text = f"{called} is limited to {rate}, enough for it {_in(wait)}"
                yield Gate("budget", text, {"budget": name, "key": key, "cost": cost, **_rated(rate, wait)})


def _line(known: _Known) -> Iterator[Gate]:
    """What is before it."""
    if known.place == "none":
        yield Gate("lost", "it is in no list, as if keys had been deleted: `distq audit --repair` puts it back")
        return
    ahead, turn = known.number("ahead"), known.number("turn")
    of = f" of {known.key_name}" if known.key and known.place == "lane" else ""
    if ahead < 0:
        yield Gate("ahead", f"more than {MOST_AHEAD:,}{of} ahead of it", {"at_least": MOST_AHEAD})
    elif ahead:
        yield Gate("ahead", f"{ahead:,}{of} ahead of it", {"ahead": ahead})
    if turn:
        yield Gate("turn", f"it waits for its turn: {_count(turn, 'key')} before it", {"keys": turn})
    if known.number("higher"):
        higher = known.number("higher")
        if weights := known.text("weights"):
            text = f"{higher:,} of a higher priority wait, too; they share the queue: {shown(weights)}"
            yield Gate("priority", text, {"tasks": higher, "weights": weights})
        else:
            yield Gate("priority", f"{higher:,} of a higher priority come first", {"tasks": higher})


def _busy(known: _Known) -> Iterator[Gate]:
    workers = {name: whole(number) for name, number in known.map("workers").items()}
    can, holds = workers.get("can", 0), workers.get("hold", 0)
    if can and not workers.get("idle"):
        who = "the one worker that runs it is" if can == 1 else f"all {can:,} workers that run it are"
        yield Gate("busy", f"{who} busy with {_count(holds, 'task')}", workers)


# -- words ------------------------------------------------------------------------------------------------------------


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _span(ms: float) -> str:
    return format_duration(max(0.0, ms / 1000))


def _in(ms: float) -> str:
    """When: "in 41 s", "80 ms ago"."""
    return f"in {_span(ms)}" if ms > 0 else f"{_span(-ms)} ago" if ms < 0 else "now"


def clock(ms: float) -> str:
    """A time, local: with the day, if that is another."""
    at = moment(ms).astimezone()
    return f"{at:%H:%M:%S}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M}"
