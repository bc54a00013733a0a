"""Bringing a task into a state, by the verbs alone: the "before" of every verb's test."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.room import Room, Worker, buried, completed


def none(room: Room) -> str:
    return "default.00000000000000000000"


def queued(room: Room) -> str:
    return room.enqueue()


def scheduled(room: Room) -> str:
    return room.enqueue(delay=3_600_000)


def active(room: Room) -> str:
    return held(room)[0]


def held(room: Room, **options: object) -> tuple[str, Worker]:
    """A task that a worker holds, and that worker."""
    id = room.enqueue(**options)  # type: ignore[arg-type]
    worker = room.register()
    room.hold(worker, id)
    return id, worker


def completed_(room: Room) -> str:
    id, worker = held(room)
    room.step(worker, 0, [completed(id, 42)])
    return id


def dead(room: Room) -> str:
    id, worker = held(room)
    room.step(worker, 0, [buried(id)])
    return id


def cancelled(room: Room) -> str:
    id = room.enqueue(delay=3_600_000)
    assert room.cancel(id) == "cancelled"
    return id


def expired(room: Room) -> str:
    id = room.enqueue(expires_in=1000)
    room.pass_time(2000)
    room.tick()
    assert room.where(id) == "expired"
    return id


MAKE: dict[str, Callable[[Room], str]] = {
    "none": none,
    "queued": queued,
    "scheduled": scheduled,
    "active": active,
    "completed": completed_,
    "dead": dead,
    "cancelled": cancelled,
    "expired": expired,
}
"""For each state a way into it; each gives the task's id."""


def all_but(*states: str) -> list[str]:
    return [state for state in MAKE if state not in states]


NOT_WAITING = [
    ("none", "unknown"), ("active", "running"), ("completed", "ended"), ("dead", "ended"), ("cancelled", "ended"),
    ("expired", "ended"),
]  # fmt: skip
"""The other states, with what a verb says that takes only what waits."""
