"""Sending calls: from arguments to the broker. `.delay()` is the hot path of a producer.

What is the same for every call with the same options is prepared once: the head of the message, and the front of the
command in wire form. A call then costs binding, packing, one write and one read.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from distq import answers, bulk, message
from distq.bounds import applying, told
from distq.broker import verbs
from distq.broker.room import Word, words
from distq.broker.scripts import script
from distq.codec import SHALLOW, is_too_deep
from distq.context import CURRENT
from distq.errors import ConfigurationError, NotDurable, PayloadTooLarge
from distq.middleware import EnqueueCall, Link, Outgoing, enqueue_chain
from distq.options import Call, QueueDefaults, limits_told
from distq.pressure import ainsist, insist
from distq.result import Handle

if TYPE_CHECKING:
    from distq.app import Distq

P = ParamSpec("P")
R = TypeVar("R")

BULK, BULK_BYTES = 1000, 1 << 20
"""Messages in one script call of `delay_many`, and about so many bytes: none keeps the broker or the network long."""

NOTHING: Mapping[str, Any] = MappingProxyType({})
NO_DEFAULTS = QueueDefaults()


class Sender(Generic[P, R]):
    """A task with the options of a call. Keep and reuse it as you like."""

    __slots__ = (
        "_apart",
        "_app",
        "_bind",
        "_call",
        "_chain",
        "_fitting",
        "_form",
        "_front",
        "_head",
        "_packers",
        "_seen",
        "_verb",
        "type",
    )  # fmt: skip

    def __init__(self, app: Distq, type: str, call: Call, bind: Callable[[Any, Any], None]) -> None:
        self.type = type
        self._app, self._call, self._bind = app, call, bind
        self._apart = call.id is not None or call.durable or call.flow is not None or bool(call.bounds)
        self._fitting: set[int] = set()  # so many positional arguments alone fit
        self._head = message.head(call.type, call.priority, call.result_ttl_s, call.max_deliveries)
        self._verb = script("enqueue")
        self._front = self._front_with(call.options)
        self._form = verbs.enqueue_form(self._front, call.queue, self._head)
        self._packers = app.codec.packers
        self._seen: list[Link] = []
        self._chain: EnqueueCall | None = None

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """See `Task.delay`."""
        return self.send(args, kwargs)

    def send(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Handle[R]:
        """`delay` without unpacking what it was called with."""
        if kwargs or len(args) not in self._fitting:
            self._fit(args, kwargs)
        if self._app.middleware != self._seen:
            self._see_middleware()
        if self._chain is None:
            return self._send(args, kwargs, self._headers())
        return cast("Handle[R]", self._chain(self._outgoing(args, kwargs, self._headers())))

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """See `Task.adelay`."""
        self._fit(args, kwargs)
        chain = enqueue_chain(self._app.middleware, self._asend_outgoing)
        if chain is None:
            return await self._asend(args, kwargs, self._headers())
        return cast("Handle[R]", await chain(self._outgoing(args, kwargs, self._headers())))

    def delay_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Handle[R]]:
        """See `Task.delay_many`."""
        self._check_many()
        app = self._app
        handles: list[Handle[R]] = []
        if self._call.durable or self._call.bounds:
            return bulk.send(self, self.packed(calls), handles)
        with app.broker.exchange.flight(self._verb) as flight:
            for messages in self.packed(calls):
                place = self._next()
                queue = place._call.queue
                app.broker.open(queue)
                ids = message.new_ids(queue, len(messages))
                flight.send(verbs.enqueue_many(place._front, ids, messages))
                handles += answers.handles(app, place._call, ids, flight.land() if self._call.unique else ())
        return answers.checked(self._call, handles)

    async def adelay_many(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> list[Handle[R]]:
        """See `Task.adelay_many`."""
        self._check_many()
        return await self.asend_packed(self.packed(calls))

    async def asend_packed(self, packed: Iterator[list[bytes]]) -> list[Handle[R]]:
        """Sends what `packed` gives."""
        return await bulk.asend(self, packed, [])

    def _check_many(self) -> None:
        if self._call.id is not None:
            raise ConfigurationError("id= names one call, delay_many makes many: use options(id=…).delay(…) for each")

    def prepared(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> tuple[Call, bytes]:
        """A call for whoever sends it later: its options, and its message with these headers behind its own."""
        self._fit(args, kwargs)
        own = self._call.headers
        chain = enqueue_chain(self._app.middleware, lambda outgoing: outgoing)
        if chain is not None:
            sent = chain(self._outgoing(args, kwargs, {**own, **headers}))
            args, kwargs = sent.args, sent.kwargs
            own = {name: value for name, value in sent.headers.items() if name not in headers}
        return self._call, self._pack(args, kwargs, {**own, **headers})

    def _next(self) -> Sender[P, R]:
        """Where the next call goes."""
        return self

    def packed(self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> Iterator[list[bytes]]:
        """Their messages, as many at a time as travel together. Raises TypeError and so on when it comes to a call that
        cannot be one."""
        chain = enqueue_chain(self._app.middleware, lambda outgoing: outgoing)
        headers = self._headers()
        is_plain = chain is None and not headers and self._call.flow is None
        codec, head = self._app.codec, self._head
        pack, fitting = self._packers.pack, self._fitting
        messages: list[bytes] = []
        size = 0
        for position, item in enumerate(calls):
            if is_plain and type(item) is tuple:
                if len(item) not in fitting:
                    self._fit(item, NOTHING)
                try:
                    data = head + pack([list(item)])
                except Exception:
                    data = head + codec.pack_call(item, NOTHING)
                if len(data) > SHALLOW:
                    self._look_at_large(len(data), data[len(head) :], item)
            else:
                data = self._packed_one(*_split(item, position), headers, chain)
            messages.append(data)
            size += len(data)
            if len(messages) == BULK or size >= BULK_BYTES:
                yield messages
                messages, size = [], 0
        if messages:
            yield messages

    def _packed_one(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], headers: Mapping[str, Any], chain: EnqueueCall | None
    ) -> bytes:
        self._fit(args, kwargs)
        if chain is None:
            return self._pack(args, kwargs, headers)
        sent = chain(self._outgoing(args, kwargs, headers))
        return self._pack(sent.args, sent.kwargs, sent.headers)

    # -- one call ----------------------------------------------------------------------------------------------------

    def _send(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> Handle[R]:
        """What cannot be packed is refused before the broker hears of it."""
        app, queue = self._app, self._call.queue
        if self._apart:
            return self._send_apart(self._pack(args, kwargs, headers))
        if kwargs or headers:
            body = app.codec.pack_call(args, kwargs, headers)
        else:
            try:
                body = self._packers.pack([list(args)])
            except Exception:
                body = app.codec.pack_call(args, kwargs)  # says what cannot travel
        size = len(self._head) + len(body)
        if size > SHALLOW:
            self._look_at_large(size, body, args)
        broker = app.broker
        if queue not in broker.opened:
            broker.open(queue)
        digits = message.new_digits()
        broker.exchange.run_script(self._verb, self._form % (digits.encode(), size, body))
        return Handle(app, f"{queue}.{digits}", queue)

    def _send_apart(self, data: bytes) -> Handle[R]:
        """A call with a given id, or a durable one."""
        given, queue = self._call.id, self._call.queue
        self._app.broker.open(queue)
        front = self._front if given is None else self._fresh_front()
        id = message.new_id(queue) if given is None else given
        return self._deliver(id, verbs.enqueue_one(front, id, data), given is not None)

    def _deliver(self, id: str, call: bytes, is_given: bool) -> Handle[R]:
        broker, queue = self._app.broker, self._call.queue

        def attempt() -> Word:
            if self._call.durable:
                return words(broker.durable.run_script(broker.prefix(queue), self._verb, call), 1)[0]
            return words(broker.exchange.run_script(self._verb, call), 1)[0]

        try:
            word = insist(self._app, queue, self._call.bounds, attempt)
        except NotDurable as error:
            error.id, error.again = id, partial(self._deliver, id, call, is_given)
            raise
        return answers.handle(self._app, self._call, id, word, is_given)

    async def _asend(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> Handle[R]:
        data = self._pack(args, kwargs, headers)
        id = self._call.id
        fresh_front = b"" if id is None else self._fresh_front()
        return await self._adeliver(id or message.new_id(self._call.queue), data, fresh_front)

    async def _adeliver(self, id: str, data: bytes, fresh_front: bytes) -> Handle[R]:
        app, call = self._app, self._call

        def attempt() -> Awaitable[Word]:
            return app.async_broker.enqueue(call.queue, self._front, id, data, fresh_front, is_durable=call.durable)

        try:
            word = await ainsist(app, call.queue, call.bounds, attempt)
        except NotDurable as error:
            error.id, error.again = id, partial(self._adeliver, id, data, fresh_front)
            raise
        return answers.handle(app, call, id, word, bool(fresh_front))

    def _fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises TypeError for arguments that do not fit the function."""
        self._bind(args, kwargs)
        if not kwargs:
            self._fitting.add(len(args))

    def _pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> bytes:
        call = self._call
        head = self._head
        if call.flow is not None:
            head = message.head(
                call.type, call.priority, call.result_ttl_s, call.max_deliveries, call.flow(args, kwargs)
            )
        data = head + self._app.codec.pack_call(args, kwargs, headers or None)
        if len(data) > self._app.max_payload:
            raise self._too_large(len(data))
        return data

    def _look_at_large(self, size: int, body: bytes, args: tuple[Any, ...]) -> None:
        """What a message of more than SHALLOW bytes has to be looked at for; none of fewer bytes can be at fault."""
        if size > self._app.max_payload:
            raise self._too_large(size)
        if is_too_deep(body):
            self._app.codec.pack_call(args, NOTHING)  # raises

    def _too_large(self, size: int) -> PayloadTooLarge:
        self._packers.renew()
        return PayloadTooLarge(
            f"{self.type}: a message of {size} bytes is above the limit of {self._app.max_payload}: store the "
            "data elsewhere and pass its address, or raise Distq(max_payload=…)"
        )

    def _fresh_front(self) -> bytes:
        return self._front_with(self._call.fresh_options())

    def _front_with(self, options: Mapping[str, Any]) -> bytes:
        prefix = self._app.broker.prefix(self._call.queue)
        options = {**options, **told(self._call.bounds)}
        return verbs.enqueue_front(prefix, self._call.type, self._call.priority, verbs.enqueue_options(options))

    # -- with middleware around it -----------------------------------------------------------------------------------

    def _see_middleware(self) -> None:
        self._seen = list(self._app.middleware)
        self._chain = enqueue_chain(self._seen, self._send_outgoing)

    def _headers(self) -> Mapping[str, Any]:
        """Those of a call. One that is made in a task says where it comes from."""
        context = CURRENT.get()
        return self._call.headers if context is None else {**context.passed_on(), **self._call.headers}

    def _outgoing(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], headers: Mapping[str, Any]) -> Outgoing:
        return Outgoing(self.type, self._call.queue, args, dict(kwargs), dict(headers))

    def _moved(self, outgoing: Outgoing) -> Sender[P, R]:
        """This sender, or one for the queue and type that a middleware changed the call to."""
        if (outgoing.queue, outgoing.type) == (self._call.queue, self.type):
            return self
        moved = replace(self._call, queue=outgoing.queue)
        if outgoing.type != self.type:
            task = self._app.tasks.get(outgoing.type)
            version = task.declaration.version if task else 1
            most = task.declaration.max_deliveries if task else 0
            unique = task.declaration.unique if task else None
            of_type = {"limit", "flow", *(moved.unique.told() if moved.unique else ())}
            options = {name: value for name, value in moved.options.items() if name not in of_type}
            moved = replace(
                moved, type=message.typed(outgoing.type, version), max_deliveries=most, unique=unique,
                options=options | (limits_told(task.declaration) if task else {}) | (unique.told() if unique else {}),
                flow=task.flow_of(unique) if task else None,
            )  # fmt: skip
        number = random.randrange(spreads_over(self._app, moved))
        known = self._app.tasks.get(outgoing.type)
        whole = self._app.queues.get(moved.queue, NO_DEFAULTS).bound
        bounds = applying(known.declaration.bound if known else None, moved.type, whole)
        moved = replace(moved, queue=message.partition(moved.queue, number), bounds=bounds)
        return Sender(self._app, outgoing.type, moved, self._bind)

    def _send_outgoing(self, outgoing: Outgoing) -> Handle[R]:
        return self._moved(outgoing)._send(outgoing.args, outgoing.kwargs, outgoing.headers)

    async def _asend_outgoing(self, outgoing: Outgoing) -> Handle[R]:
        return await self._moved(outgoing)._asend(outgoing.args, outgoing.kwargs, outgoing.headers)


def spreads_over(app: Distq, call: Call) -> int:
    """How many partitions. What must stay together is in the first: given ids and names are unique there, and limits
    are kept."""
    stays = call.id is not None or not call.options.keys().isdisjoint(("limit", "flow", "unique"))
    return 1 if stays else app.partitions.get(call.queue, 1)


def _split(item: object, position: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of one call of delay_many."""
    if isinstance(item, tuple | list):
        return tuple(item), {}
    if isinstance(item, Mapping):
        return (), dict(item)
    raise TypeError(
        f"delay_many: call {position} is {type(item).__name__}: give a tuple of positional or a mapping of keyword "
        "arguments for each call"
    )
