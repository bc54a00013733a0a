"""Following a task that went to another queue: what is left of it in the old one says where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgpack

from distq.states import State

if TYPE_CHECKING:
    from distq.broker.verbs import Look

MOST_MOVES = 20
"""So often somebody who looks for a task goes on to another queue."""

ENDED: dict[str, State] = {"completed": "completed", "dead": "dead", "cancelled": "cancelled", "expired": "expired"}
"""The first word of a result element, as a state."""

_MOVED = b"\x92\xa5moved"


def moved_to(element: bytes | None) -> str | None:
    """The queue to which a task went that has this result element; None: it has not."""
    if element is None or not element.startswith(_MOVED):
        return None
    try:
        queue = msgpack.unpackb(element)[1]["by"]
    except Exception:
        return None
    return queue if isinstance(queue, str) else None


def where(looks: Iterable[tuple[str, Look]]) -> tuple[str, Look] | str | None:
    """Of what several queues know of an id: the first that has it. Else the queue to which it went, or None."""
    found = [(queue, look) for queue, look in looks if look.state != "unknown"]
    for queue, look in found:
        if moved_to(look.result) is None:
            return queue, look
    return moved_to(found[0][1].result) if found else None
