"""The gates that keep a live task back, each a sentence with its numbers: made for `distq.why` of what one script has
seen at one instant (broker/lua/why.lua).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from distq.batch import Field
from distq.broker import controls
from distq.broker.inspect import whole
from distq.controls import moment, rate_text, type_limits
from distq.durations import format_duration
from distq.message import VERSION
from distq.rate import Rate
from distq.states import State
from distq.weights import shown

if TYPE_CHECKING:
    from distq.app import Distq
    from distq.options import Declaration

MOST_NAME = 60
"""Characters of a name that is shown."""
MOST_AHEAD = 10_000
"""The script counts no further."""


@dataclass(frozen=True)
class Gate:
    """One reason: its name, a sentence for people, and its numbers."""

    name: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Known:
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
        """Of what is not scheduled."""
        return "running" if self._said.get("worker") else "queued"

    @property
    def waited_s(self) -> float:
        """Since the call."""
        return max(0.0, (self.now_ms - self.number("created")) / 1000)

    def number(self, name: str) -> int:
        """What is said under this name, if it is one; else 0."""
        return whole(self._said.get(name))

    def text(self, name: str) -> str:
        """Likewise; else empty."""
        value = self._said.get(name)
        return value if isinstance(value, str) else ""

    def map(self, name: str) -> dict[str, Any]:
        """Likewise."""
        value = self._said.get(name)
        return value if isinstance(value, dict) else {}

    def has(self, name: str) -> bool:
        """Whether it is said, and is something."""
        return bool(self._said.get(name))

    def list(self, name: str) -> list[Any]:
        """Likewise; else empty."""
        value = self._said.get(name)
        return value if isinstance(value, list) else []

    @property
    def declaration(self) -> Declaration | None:
        """If it is at hand."""
        task = self.app.tasks.get(self.type.partition("@")[0])
        return None if task is None else task.declaration

    @property
    def key_name(self) -> str:
        """ "tenant 7", if the declaration is at hand."""
        declared = self.declaration
        key = declared.flow.key if declared is not None and declared.flow else None
        name = key if isinstance(key, str) else key.name if isinstance(key, Field) else "key"
        return f"{name} {self.key or '(none)'}"


def gates_of(known: Known, state: State) -> Iterator[Gate]:
    """All that keeps it back, what is most to the point first."""
    found: list[Gate] = []
    if state == "running":
        found += _running(known)
    elif state == "scheduled":
        found += [*_scheduled(known), *_debounced(known), *_paused(known), *_nobody(known)]
    else:
        found += [
            *_paused(known),
            *_nobody(known),
            *_suspicion(known),
            *_limits(known),
            *_budgets(known),
            *_batch(known),
            *_line(known),
            *_busy(known),
        ]
        if not found:
            found.append(Gate("ready", "nothing keeps it back: a worker takes it now"))
    if known.has("cancelled_by"):
        found.append(Gate("told_to_end", f"{known.text('cancelled_by')} has told it to end"))
    if state != "running" and known.number("expires"):
        left = known.number("expires") - known.now_ms
        found.append(Gate("expires", f"it expires {_in(left)}", {"expires_in_ms": left}))
    yield from found
    if state != "running":
        yield from _named(known)


def _running(known: Known) -> Iterator[Gate]:
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


def _scheduled(known: Known) -> Iterator[Gate]:
    due, attempt = known.number("due"), known.number("attempt")
    left = due - known.now_ms
    what = "scheduled for" if attempt == 0 else f"attempt {attempt + 1} comes at"
    yield Gate("scheduled", f"{what} {clock(due)} ({_in(left)})", {"due_at_ms": due, "attempt": attempt + 1})
    if not known.has("keeper"):
        yield Gate("no_keeper", "no worker host is alive that would see to it at that time")


def _debounced(known: Known) -> Iterator[Gate]:
    """What is scheduled since it is debounced waits until its calls pause."""
    declared = known.declaration
    unique = declared.unique if declared is not None else None
    if unique is None or not unique.debounce_ms or not known.has("unstarted"):
        return
    text = f"it is debounced: each further call moves that time to {_span(unique.debounce_ms)} from then"
    facts: dict[str, Any] = {"debounce_ms": unique.debounce_ms}
    if unique.debounce_max_ms:
        facts["at_most_ms"] = known.number("created") + unique.debounce_max_ms
        text += f", to {clock(facts['at_most_ms'])} at most"
    yield Gate("debounced", text, facts)


def _named(known: Known) -> Iterator[Gate]:
    """What further calls of its name mean."""
    if known.has("named"):
        till = "starts" if known.has("unstarted") else "has ended"
        name = known.text("named").partition(" ")[2]
        of = f" {name!r}" if name.isprintable() and len(name) <= MOST_NAME else ""
        yield Gate("unique", f"it is unique: until it {till}, calls of its name{of} mean this one", {"until": till})


def _paused(known: Known) -> Iterator[Gate]:
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


def _nobody(known: Known) -> Iterator[Gate]:
    """Is there a worker that could take it?"""
    workers = {name: whole(number) for name, number in known.map("workers").items()}
    alive, knowing, can = workers.get("alive", 0), workers.get("know", 0), workers.get("can", 0)
    if not alive:
        yield Gate("no_worker", "no worker of this queue is alive", {"hosts": known.number("hosts")})
    elif not knowing:
        listen = "1 worker listens" if alive == 1 else f"{alive:,} workers listen"
        name, lacks = _what_they_lack(known, alive == 1)
        text = f"{listen} to this queue, and {lacks}"
        left = known.number("deadline") - known.now_ms
        if known.number("deadline") and known.place == "lane":
            text += f": it is a dead letter {_in(left)} if none comes"
        yield Gate(name, text, workers)
    elif not can and known.place in ("ready", "lane"):
        yield Gate("quiet", f"none of the {knowing:,} workers that run type {known.type} takes anything new", workers)


def _what_they_lack(known: Known, is_one: bool) -> tuple[str, str]:
    """Why those that listen cannot take it: the gate's name, and what follows "and"."""
    version, declared = known.number("version"), known.declaration
    if version > VERSION:
        reads = "it does not read" if is_one else "none reads"
        return "newer_message", f"{reads} messages of version {version}: a newer release has sent it"
    if declared is not None and declared.needs:
        has, tag = "it does not have" if is_one else "none has", declared.needs
        return "needs", f"{has} the tag {tag} that type {known.type} needs: start a host with --tag {tag}"
    return "unknown_type", f"{'does not run' if is_one else 'none runs'} type {known.type}"


def _suspicion(known: Known) -> Iterator[Gate]:
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


def _limits(known: Known) -> Iterator[Gate]:
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
        yield _full("max_running", f"type {type}", runs, now.max_running, said, known.list("who"))
    if now.max_running_per_key and each >= now.max_running_per_key and not holds:
        if policy.get("o"):
            yield _ordered(known)
        else:
            yield _full(
                "max_running_per_key", known.key_name, each, now.max_running_per_key, said, known.list("who_key")
            )
    wait = _lacks(known, str(policy.get("r", "")), known.number("bucket"))
    if wait:
        text = f"{known.key_name} is limited to {now.rate_per_key}, next token {_in(wait)}{said}"
        yield Gate("rate_per_key", text, _rated(now.rate_per_key, wait))


def _full(gate: str, what: str, runs: int, most: int, said: str, who: list[Any]) -> Gate:
    ids = [str(one[0]) for one in who]
    which = f": {ids[0]}" if most == 1 and ids else ""
    text = f"{what} has {runs:,} of {most:,} running{which}{said}"
    return Gate(gate, text, {"running": runs, "most": most, "who": ids})


def _ordered(known: Known) -> Gate:
    """Who is before it."""
    for id, attempt, due in known.list("who_key")[:1]:
        waits = f"waits for attempt {attempt + 1} until {clock(due)} ({_in(due - known.now_ms)})" if due else "runs"
        facts = {"id": str(id), "attempt": attempt + 1, "due_at_ms": due or None}
        return Gate("ordered", f"{known.key_name} runs in order: {id} comes before it, and {waits}", facts)
    return Gate("ordered", f"{known.key_name} runs in order: an earlier one has not ended")


def _rated(rate: str | None, wait_ms: float) -> dict[str, Any]:
    return {"rate": rate, "next_in_ms": round(wait_ms, 3)}


def _said_by(known: Known) -> str:
    """Who has set other limits than the declared ones."""
    limits = known.limits
    if not limits.is_set or limits.since is None:
        return ""
    return f" (set by {limits.by} at {clock(limits.since.timestamp() * 1000)}; declared: {limits.declared.text})"


def _lacks(known: Known, declared: str, full_us: object, cost: float = 1) -> float:
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


def _budgets(known: Known) -> Iterator[Gate]:
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


def _batch(known: Known) -> Iterator[Gate]:
    """A batch that is not full, and whose time has not come."""
    policy, items = known.map("policy"), known.number("items")
    size, due = whole(policy.get("n")), known.number("filling") + whole(policy.get("w"))
    if size and known.has("filling") and items < size and due > known.now_ms:
        of = f" of {known.key_name}" if known.key else ""
        text = f"its batch{of} has {items:,} of {size:,} items, and starts {_in(due - known.now_ms)} at the latest"
        yield Gate("batch", text, {"items": items, "size": size, "due_at_ms": due})


def _line(known: Known) -> Iterator[Gate]:
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


def _busy(known: Known) -> Iterator[Gate]:
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
