"""Changing tasks of one queue, by their ids: another time, priority or queue. The steps, and who runs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from distq.broker import moves
from distq.broker.moves import Change
from distq.broker.transfer import Steps, transfer
from distq.errors import UnknownQueue, did_you_mean
from distq.message import family

if TYPE_CHECKING:
    from distq.app import Distq
    from distq.broker.verbs import Command


def check_queue(app: Distq, queue: object, known: Iterable[str]) -> str:
    """A queue to which tasks may go. Raises UnknownQueue."""
    names = list(dict.fromkeys([*app.queues, *map(family, known)]))
    if not isinstance(queue, str) or queue not in names:
        raise UnknownQueue(f"no queue {queue!r:.80}{did_you_mean(str(queue), names)}; there are: {', '.join(names)}")
    return queue


def steps(
    prefix_of: Callable[[str], str], place: str, ids: Sequence[str], queue: str | None, change: Change, token: str = ""
) -> Steps:
    """The commands that change tasks of a place; to `queue` they move, unless they are in it. `token`: that of a call
    that is made again."""
    if queue is None or family(place) == queue:
        words: list[str] = yield moves.reschedule(prefix_of(place), ids, change, token)
        return words
    return (yield from transfer(prefix_of(place), prefix_of(queue), ids, change, token))


def run(ask: Callable[[Command[Any]], Any], steps: Steps) -> list[str]:
    """Has them run by `ask`, one after the other."""
    reply: Any = None
    while True:
        try:
            command = steps.send(reply)
        except StopIteration as end:
            return list(end.value)
        reply = ask(command)


async def arun(ask: Callable[[Command[Any]], Awaitable[Any]], steps: Steps) -> list[str]:
    """`run` for asyncio."""
    reply: Any = None
    while True:
        try:
            command = steps.send(reply)
        except StopIteration as end:
            return list(end.value)
        reply = await ask(command)
