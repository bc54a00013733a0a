"""Many calls, each thousand of which has to be certain before the next: durable ones, and those to what has a bound."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from distq import answers, message
from distq.broker import verbs
from distq.broker.room import Full, Word, words
from distq.errors import NotDurable
from distq.pressure import Patience
from distq.result import Handle

if TYPE_CHECKING:
    from distq.sender import Sender

Packed = Iterator[list[bytes]]


class Part(NamedTuple):
    """Messages of one script call."""

    sender: Sender[Any, Any]
    ids: list[str]
    messages: list[bytes]
    patience: Patience

    def refused(self, said: list[Word], handles: list[Handle[Any]]) -> tuple[Part | None, Full | None]:
        """Notes those that are there. The rest, and why."""
        there = [(id, word) for id, word in zip(self.ids, said, strict=True) if not isinstance(word, Full)]
        ids, words = [id for id, _ in there], [word for _, word in there]
        handles += answers.handles(self.sender._app, self.sender._call, ids, words)
        rest = [number for number, word in enumerate(said) if isinstance(word, Full)]
        if not rest:
            return None, None
        full = said[rest[0]]
        assert isinstance(full, Full)
        left = [self.ids[number] for number in rest], [self.messages[number] for number in rest]
        return self._replace(ids=left[0], messages=left[1]), full


def next_part(sender: Sender[Any, Any], packed: Packed) -> Part | None:
    """What goes out next; None: that was all."""
    messages = next(packed, None)
    if messages is None:
        return None
    place = sender._next()
    queue = place._call.queue
    patience = Patience(place._app, queue, place._call.bounds)
    return Part(place, message.new_ids(queue, len(messages)), messages, patience)


def send(
    sender: Sender[Any, Any], packed: Packed, handles: list[Handle[Any]], pending: Part | None = None
) -> list[Handle[Any]]:
    """A failover in between would have taken what was not certain."""
    broker = sender._app.broker
    while (part := pending or next_part(sender, packed)) is not None:
        queue = part.sender._call.queue
        broker.open(queue)
        call = verbs.enqueue_many(part.sender._front, part.ids, part.messages)
        verb = sender._verb
        try:
            if sender._call.durable:
                reply = broker.durable.run_script(broker.prefix(queue), verb, call)
            else:
                reply = broker.exchange.run_script(verb, call)
        except NotDurable as error:
            error.id, error.again = part.ids[0], partial(send, sender, packed, handles, part)
            raise
        pending, full = part.refused(words(reply, len(part.ids)), handles)
        if full is not None:
            broker.wait_room(queue, full.type, part.patience.left(full, handles))
    return answers.checked(sender._call, handles)


async def asend(
    sender: Sender[Any, Any], packed: Packed, handles: list[Handle[Any]], pending: Part | None = None
) -> list[Handle[Any]]:
    """`send` for asyncio."""
    broker, is_durable = sender._app.async_broker, sender._call.durable
    while (part := pending or next_part(sender, packed)) is not None:
        queue = part.sender._call.queue
        try:
            said = await broker.enqueue_many(queue, part.sender._front, part.ids, part.messages, is_durable=is_durable)
        except NotDurable as error:
            error.id, error.again = part.ids[0], partial(asend, sender, packed, handles, part)
            raise
        pending, full = part.refused(said, handles)
        if full is not None:
            await broker.wait_room(queue, full.type, part.patience.left(full, handles))
    return answers.checked(sender._call, handles)
