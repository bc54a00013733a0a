"""Pausing, resuming and limiting in a room."""

from __future__ import annotations

from typing import Any

from distq.broker import controls
from tests.support.room import Room


def pause(room: Room, type: str = "", key: str | None = None, who: str = "ann") -> str:
    """The queue, or a type, or a key of it."""
    return controls.text(room.run(controls.pausing(room.prefix, _kind(type, key), type, key or "", who)))


def resume(room: Room, type: str = "", key: str | None = None) -> str:
    return controls.text(room.run(controls.resuming(room.prefix, _kind(type, key), type, key or "")))


def _kind(type: str, key: str | None) -> str:
    return "queue" if not type else "type" if key is None else "key"


def override(room: Room, type: str, limits: dict[str, Any] | None, who: str = "ann") -> list[str]:
    return [controls.text(word) for word in room.run(controls.overriding(room.prefix, type, limits, who))]


def look_again(room: Room, level: str, lane: str) -> None:
    """All of its keys."""
    cursor: bytes | str = "0"
    while (cursor := room.run(controls.looking_again(room.prefix, level, lane, cursor))) != b"0":
        pass
