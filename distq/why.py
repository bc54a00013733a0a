"""Why a task is not running: each gate that keeps it back names itself (distq/gates.py). Or what has become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distq.broker import controls
from distq.broker.forward import moved_to
from distq.broker.inspect import attempts, whole
from distq.durations import format_duration
from distq.gates import Gate, Known, clock, gates_of
from distq.message import check_id
from distq.states import State

if TYPE_CHECKING:
    from distq.app import Distq


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
            known = Known(app, queue, facts.known)
            state: State = "scheduled" if facts.state == "scheduled" else known.state
            return Why(
                id, state, queue, known.type, known.text("level"), 0.0 if state == "running" else known.waited_s,
                tuple(gates_of(known, state)),
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
