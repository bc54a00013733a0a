"""The states of a task and the arrows between them: one table, from which the picture and the tests are made.

The ledger counts what happens (`EVENTS`), so that at every instant what came is what ended and what is alive.

An arrow is exactly one script (`broker/lua/<verb>.lua`). "active" is a task that a worker holds; users see it as
"running". A task that has none of these states is "unknown".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["queued", "scheduled", "running", "completed", "dead", "cancelled", "expired", "unknown"]
"""What `handle.status()` answers."""

ENDINGS: tuple[State, ...] = ("completed", "dead", "cancelled", "expired")
"""States in which a task stays, unless a dead one is replayed."""


class Arrow(NamedTuple):
    """One move: `verb` takes a task from `source` to `target`, `when` says under which condition."""

    source: str
    target: str
    verb: str
    when: str


ARROWS = (
    Arrow("none", "queued", "enqueue", "runnable now"),
    Arrow("none", "scheduled", "enqueue", "delay= or eta="),
    Arrow("none", "queued", "fire", "the tick of a schedule"),
    Arrow("none", "scheduled", "fire", "the same, with jitter="),
    Arrow("scheduled", "queued", "tick", "its time has come (a step does it too)"),
    Arrow("scheduled", "queued", "step", "its time has come"),
    Arrow("queued", "active", "step", "a worker reserves it"),
    Arrow("active", "completed", "step", "the handler returned"),
    Arrow("active", "scheduled", "step", "retry or snooze with a delay"),
    Arrow("active", "queued", "step", "given back, retried at once, or parked for an unknown type"),
    Arrow("active", "dead", "step", "rejected, or its attempts are used up"),
    Arrow("active", "completed", "settle", "the same verdicts, sent by the supervisor"),
    Arrow("active", "scheduled", "settle", "the same"),
    Arrow("active", "queued", "settle", "the same"),
    Arrow("active", "dead", "settle", "the same"),
    Arrow("active", "queued", "recover", "its worker left, died or lost its lease"),
    Arrow(
        "active",
        "dead",
        "recover",
        "it killed its worker max_deliveries times, or must not begin twice",
    ),
    Arrow("active", "cancelled", "step", "it was to end although it ran, and would wait again"),
    Arrow("active", "cancelled", "settle", "the same"),
    Arrow("active", "cancelled", "recover", "the same"),
    Arrow("queued", "cancelled", "cancel", "on request"),
    Arrow("scheduled", "cancelled", "cancel", "on request"),
    Arrow("queued", "cancelled", "enqueue", "another call takes its place (on_duplicate=)"),
    Arrow("scheduled", "cancelled", "enqueue", "the same"),
    Arrow("queued", "queued", "reschedule", "another priority, on request"),
    Arrow("queued", "scheduled", "reschedule", "another time, on request"),
    Arrow("scheduled", "scheduled", "reschedule", "another time or priority, on request"),
    Arrow("scheduled", "queued", "reschedule", "now, on request"),
    Arrow("queued", "moved", "depart", "to another queue, on request: there it goes on"),
    Arrow("scheduled", "moved", "depart", "the same"),
    Arrow("none", "queued", "arrive", "from another queue, on request"),
    Arrow("none", "scheduled", "arrive", "the same"),
    Arrow("queued", "cancelled", "purge", "on request"),
    Arrow("scheduled", "cancelled", "purge", "on request"),
    Arrow("queued", "cancelled", "fire", "the next tick replaces it"),
    Arrow("scheduled", "cancelled", "fire", "the same"),
    Arrow("queued", "cancelled", "enqueue", 'on_full="drop_oldest": newer ones take its place'),
    Arrow("queued", "expired", "tick", "expires= has passed (a step does it too)"),
    Arrow("queued", "expired", "step", "expires= has passed"),
    Arrow("scheduled", "expired", "tick", "expires= has passed"),
    Arrow("scheduled", "expired", "step", "expires= has passed"),
    Arrow("queued", "dead", "tick", "no worker knew its type for 24 h"),
    Arrow("queued", "dead", "step", "no worker knew its type for 24 h"),
    Arrow("lost", "queued", "restore", "somebody deleted keys (evicted): it is alive, but in no list"),
    Arrow("lost", "dead", "restore", "the same, if it must not be started twice (max_deliveries=1)"),
    Arrow("dead", "queued", "replay", "on request, with a fresh budget"),
    Arrow("dead", "scheduled", "replay", "the same, one after the other"),
    Arrow("dead", "none", "purge_dead", "on request, or by age and number"),
    Arrow("dead", "queued", "enqueue", "a new call with the id of a dead one replaces it"),
    Arrow("dead", "scheduled", "enqueue", "the same, with delay= or eta="),
)


class Event(NamedTuple):
    """What the ledger counts, per type. `side` +1: a life begins; -1: one ends; 0: it goes on."""

    name: str
    side: int
    verbs: tuple[str, ...]
    when: str


EVENTS = (
    Event("enqueued", 1, ("enqueue", "fire"), "a new task; a repeated call is none"),
    Event("replayed", 1, ("replay",), "a dead task lives again, under its id; its first life stays counted as dead"),
    Event("arrived", 1, ("arrive",), "a task came from another queue"),
    Event("corrected", 1, ("correct",), "a repair has booked a difference; may be below 0"),
    Event("completed", -1, ("step", "settle", "recover"), "the handler returned"),
    Event("dead", -1, ("step", "settle", "recover", "tick", "restore"), "it became a dead letter"),
    Event(
        "cancelled",
        -1,
        ("cancel", "purge", "enqueue", "fire", "step", "settle", "recover"),
        "cancelled, purged or replaced: the result says by what",
    ),
    Event("expired", -1, ("tick", "step"), "`expires=` passed while it waited"),
    Event("moved", -1, ("depart",), "a task went to another queue, where it lives on"),
    Event("retried", 0, ("step", "settle", "recover"), "an attempt failed, and another one follows"),
    Event("rescheduled", 0, ("reschedule",), "another time or priority, on request"),
)
