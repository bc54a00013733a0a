"""What the broker has said of calls, as handles: a new task for each, or one that was there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from distq.broker import verbs
from distq.errors import AlreadyEnqueued
from distq.options import Call
from distq.result import Handle

if TYPE_CHECKING:
    from distq.app import Distq

FIRST = b"first "
"""The script says so, with the id of the task that stands for a call by its name."""


def handle(app: Distq, call: Call, id: str, word: bytes, is_given: bool) -> Handle[Any]:
    """Of one call. `is_given`: its id may be that of a task that lives. Raises AlreadyEnqueued."""
    return checked(call, [_handle(app, call, id, word, is_given)])[0]


def handles(app: Distq, call: Call, ids: Sequence[str], words: Sequence[bytes]) -> list[Handle[Any]]:
    """Of calls with new ids. Calls without names make one task each."""
    if call.unique is None:
        return [Handle(app, id, call.queue) for id in ids]
    words = verbs.for_each(words, len(ids))
    return [_handle(app, call, id, word, False) for id, word in zip(ids, words, strict=True)]


def checked(call: Call, handles: list[Handle[Any]]) -> list[Handle[Any]]:
    """Raises AlreadyEnqueued if that is to be raised for one of them."""
    if call.unique is not None and call.unique.on_duplicate == "raise":
        for one in handles:
            if not one.created:
                raise AlreadyEnqueued(f"{call.type}: task {one.id} is there already for this call", one.id, handles)
    return handles


def _handle(app: Distq, call: Call, id: str, word: bytes, is_given: bool) -> Handle[Any]:
    if word.startswith(FIRST):
        first = word[len(FIRST) :].decode()
        return Handle(app, first, call.queue, created=first == id)
    return Handle(app, id, call.queue, not is_given or word == verbs.CREATED)
