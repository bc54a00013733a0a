"""The same door for asyncio: one shared connection per event loop, on which calls are pipelined in order; in a cluster,
one per place.

Enqueues made in the same turn of the loop travel in one script call. A cancelled caller never shifts replies: its
reply is still read, and thrown away.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import hiredis

from distq.broker import cluster, keys, reach, room, verbs
from distq.broker.address import mask
from distq.broker.broker import KNOWN, RECONNECT_S, WAIT_SLICE_S, check_layout, queues_among
from distq.broker.connect import ATTEMPT_S, LATE_S, PASSING, ServerError, explain, unavailable
from distq.broker.dial import Refused
from distq.broker.durable import PROBE, Rule, touch
from distq.broker.forward import MOST_MOVES, where
from distq.broker.room import Word
from distq.broker.scripts import Reply, Script, encode
from distq.broker.turns import Like, Turn
from distq.broker.witness import ROLE, Witness
from distq.errors import BrokerFull, BrokerUnavailable, NotDurable

T = TypeVar("T")


class AsyncWire:
    """One connection of one event loop. `call` may be used by many tasks at once."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._replies = hiredis.Reader(replyError=cast("Any", ServerError))
        self.is_closed = False
        self.witness: Witness | None = None
        """What durable calls wait for on this connection, once it is known."""
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> AsyncWire:
        """Connects and begins to read."""
        try:
            self._reader, self._writer = await reach.connect_async(self._url, self._timeout, "distq-async")
        except (Refused, OSError) as error:
            raise BrokerUnavailable(explain(self._url, error)) from error
        self._task = asyncio.create_task(self._read())
        return self

    @property
    def peer(self) -> str:
        """The server at the other end: the same text for the same one."""
        return str(self._writer.get_extra_info("peername"))

    async def call(self, data: bytes, timeout: float | None = None) -> Reply:
        """Writes a command and waits for its reply; raises ServerError or BrokerUnavailable."""
        if self.is_closed:
            raise BrokerUnavailable(explain(self._url, ConnectionResetError("closed by the broker")))
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(data)
        try:
            # Not wait_for: before Python 3.12, who is cancelled in the turn in which the reply comes goes on.
            async with asyncio.timeout(self._timeout if timeout is None else timeout):
                reply = await future
        except TimeoutError as error:
            self.close(error)
            raise BrokerUnavailable(explain(self._url, error)) from error
        if isinstance(reply, ServerError):
            raise reply
        return reply

    async def call_all(self, data: bytes, number: int, timeout: float) -> list[Reply | ServerError]:
        """Writes so many commands; their replies, error replies among them."""
        calls = [self.call(data, timeout), *(self.call(b"", timeout) for _ in range(number - 1))]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ServerError):
                raise answer
        return answers

    async def call_script(self, verb: Script | None, data: bytes, until: float) -> Reply:
        """Calls a script by this time; makes the server know it first if it does not. None: it calls no script."""
        try:
            return await self.call(data, until - time.monotonic())
        except ServerError as error:
            if error.code != "NOSCRIPT" or verb is None:
                raise
        await self.call(verb.load_command(), until - time.monotonic())
        return await self.call(data, until - time.monotonic())

    def close(self, error: Exception | None = None) -> None:
        """Ends the connection; everybody who waits on it is told."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._task is not None:
            self._task.cancel()
            self._writer.transport.abort()  # a farewell of TLS would need a loop that goes on
        failure = BrokerUnavailable(explain(self._url, error or ConnectionResetError("closed")))
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(failure)

    async def _read(self) -> None:
        stream = self._reader
        try:
            while data := await stream.read(65536):
                self._replies.feed(data)
                while (reply := self._replies.gets()) is not False:
                    future = self._waiting.popleft()
                    if not future.done():
                        future.set_result(reply)
            self.close(ConnectionResetError("closed by the broker"))
        except (OSError, hiredis.ProtocolError, IndexError) as error:
            self.close(error)
        finally:
            self.close()


class _Loop:
    """What one event loop has: its shared connection and the enqueues of its current turn."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self.timeout = url, timeout
        self.wires: dict[tuple[str, bool], AsyncWire] = {}
        """One for all calls to a place, one for durable ones: those wait, and what is behind them too."""
        self.opening, self.sealing = asyncio.Lock(), asyncio.Lock()
        self.batches: dict[Like, Turn] = {}
        self.running: set[asyncio.Task[None]] = set()
        self.opened: set[str] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it beside the caller; a task that nobody holds may vanish."""
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def shared(self, place: str, is_durable: bool, until: float) -> AsyncWire:
        """The connection to what this address names, by this time: whoever waits for another caller to open it waits no
        longer than itself."""
        which = place, is_durable
        wire = self.wires.get(which)
        if wire is None or wire.is_closed:
            try:
                async with asyncio.timeout(until - time.monotonic()), self.opening:
                    wire = self.wires.get(which)
                    if wire is None or wire.is_closed:
                        wire = AsyncWire(place, reach.patience(self.url, min(self.timeout, ATTEMPT_S)))
                        self.wires[which] = await wire.open()
            except TimeoutError as error:
                raise BrokerUnavailable(explain(self.url, error)) from error
        return wire


class AsyncBroker:
    """Runs verbs for one application on whatever event loop the caller is in."""

    def __init__(self, app: str, url: str, timeout: float) -> None:
        self.app, self.url, self.timeout = app, url, timeout
        self._rule = Rule(url, timeout)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()
        self._pid = os.getpid()

    def prefix(self, queue: str) -> str:
        """What the keys of this queue begin with."""
        return keys.prefix(self.app, queue)

    async def run(self, command: verbs.Command[T]) -> T:
        """Runs a verb; sends it again if the reply was lost."""
        return command.parse(await self._attempt(command.verb, command.data, self._deadline()))

    async def request(self, data: bytes) -> Reply:
        """Sends a plain command, which must be idempotent."""
        return await self._attempt(None, data, self._deadline())

    async def known_queues(self) -> list[str]:
        """The queues of this application that the broker knows, sorted."""
        return queues_among(await self.request(KNOWN), self.app)

    async def enqueue(
        self, queue: str, front: bytes, id: str, message: bytes, fresh_front: bytes = b"", *, is_durable: bool = False
    ) -> Word:
        """Enqueues one message, together with all others of this turn of the loop that have the same front.

        Answers the script's word, or that there is no room. `fresh_front` has the token that goes with an id given by a
        user; those that travel together share one.
        """
        # A durable call may be made again by itself: then it must have its own token.
        state, like = self._state(), (queue, (is_durable and fresh_front) or front, bool(fresh_front), is_durable)
        batch = state.batches.get(like)
        if batch is None:
            batch = state.batches[like] = Turn(fresh_front or front)
            state.start(self._flush(state, like, batch))
        future = batch.add(id, message)
        if batch.is_full:
            del state.batches[like]
        if not is_durable:
            return await future
        try:
            # Its batch may have waited for the one before. The tenth: what the batch itself has to say comes first.
            async with asyncio.timeout(1.1 * self.timeout):
                return await future
        except TimeoutError as error:
            raise BrokerUnavailable(explain(self.url, error)) from error

    async def enqueue_many(
        self, queue: str, front: bytes, ids: Sequence[str], messages: Sequence[bytes], *, is_durable: bool = False
    ) -> list[Word]:
        """Enqueues messages of one queue in one script call."""
        state, until = self._state(), self._deadline()
        command = verbs.enqueue(front, ids, messages)
        async with state.sealing if is_durable else nullcontext():
            return await self._send(state, queue, command, until, is_durable)

    async def find(self, id: str, queues: Iterable[str], waits: bool = False) -> tuple[str, verbs.Look]:
        """Looks for a task in several queues at once; the first that knows it wins."""
        names = list(dict.fromkeys(queues))
        looks = await asyncio.gather(*(self.run(verbs.look(self.prefix(queue), id, waits)) for queue in names))
        pairs = list(zip(names, looks, strict=True))
        for _ in range(MOST_MOVES):
            found = where(pairs)
            if not isinstance(found, str):
                return found or pairs[0]
            pairs = [(found, await self.run(verbs.look(self.prefix(found), id, waits)))]
        return pairs[0]

    async def wait_result(self, queue: str, id: str, timeout: float) -> bytes | None:
        """Blocks until the task has a result, at most `timeout` seconds (and never longer than a slice)."""
        place = keys.key(self.prefix(queue), "ANSWER", id)
        reply: bytes | None = await self._block(
            place, lambda slice_s: encode("BLMOVE", place, place, "LEFT", "LEFT", f"{slice_s:.3f}"), timeout
        )
        return reply

    async def wait_room(self, queue: str, type: str, timeout: float) -> None:
        """Waits until there may be room for a call that was refused, at most for so long (or a slice)."""
        place = room.place(self.prefix(queue), type)
        await self._block(place, lambda slice_s: room.wait(place, slice_s), timeout)

    async def _block(self, place: str, command: Callable[[float], bytes], timeout: float) -> Reply:
        slice_s = max(0.001, min(timeout, reach.patience(self.url, WAIT_SLICE_S)))
        wire = AsyncWire(cluster.place(self.url, place), reach.patience(self.url, min(self.timeout, ATTEMPT_S)))
        try:
            await wire.open()
            return await wire.call(command(slice_s), slice_s + LATE_S)
        except ServerError as error:
            if error.code in (*PASSING, "OOM"):
                await asyncio.sleep(min(RECONNECT_S, timeout))
                return None
            raise BrokerUnavailable(f"the broker at {mask(self.url)} refused: {error}") from error
        except BrokerUnavailable:  # whoever waits looks again, and that bears a broker that is away for a while
            await asyncio.sleep(min(RECONNECT_S, timeout))
            return None
        finally:
            wire.close()

    def close(self) -> None:
        """Closes the connections of the running loop."""
        state = self._loops.pop(asyncio.get_running_loop(), None)
        for wire in state.wires.values() if state else ():
            wire.close()

    def _state(self) -> _Loop:
        if self._pid != os.getpid():
            self._loops, self._pid = WeakKeyDictionary(), os.getpid()
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = _Loop(self.url, self.timeout)
        return self._loops[loop]

    async def _flush(self, state: _Loop, like: Like, batch: Turn) -> None:
        """Runs after the current turn of the loop: everything that it enqueued goes out together.

        Durable calls go out one batch after the other, and what comes while one waits goes with the next.
        """
        queue, _, _, is_durable = like
        async with state.sealing if is_durable else nullcontext():
            if state.batches.get(like) is batch:  # it may have become full meanwhile
                del state.batches[like]
            until = self._deadline()
            try:
                command = verbs.enqueue(batch.front, batch.ids, batch.messages)
                words = await self._send(state, queue, command, until, is_durable)
            except Exception as error:
                for future in batch.futures:
                    if not future.done():
                        future.set_exception(NotDurable(*error.args) if isinstance(error, NotDurable) else error)
                return
        for future, word in zip(batch.futures, words, strict=True):
            if not future.done():
                future.set_result(word)

    async def _send(self, state: _Loop, queue: str, command: verbs.Command[T], until: float, is_durable: bool) -> T:
        """Calls the script of enqueueing, for a queue that may not be known yet."""
        if queue not in state.opened:
            await self._open(queue, until)
            state.opened.add(queue)
        verb, data = command.verb, command.data
        return command.parse(
            await (self._seal(queue, verb, data, until) if is_durable else self._attempt(verb, data, until))
        )

    def _deadline(self) -> float:
        """When a call that begins now has to be over (monotonic seconds)."""
        return time.monotonic() + self.timeout

    async def open(self, queue: str) -> None:
        """Makes the queue known, and checks the layout."""
        await self._open(queue, self._deadline())

    async def _open(self, queue: str, until: float) -> None:
        await self._attempt(None, encode("SADD", keys.KNOWN_QUEUES, keys.known_queue(self.app, queue)), until)
        check_layout(await self._attempt(None, encode("HGET", keys.key(self.prefix(queue), "META"), "layout"), until))

    async def _seal(self, queue: str, verb: Script, data: bytes, until: float) -> Reply:
        data, load = data + touch(self.prefix(queue)), verb.load_command()

        def left() -> float:
            return min(self._rule.limit_s, until - time.monotonic())

        async def ask(wire: AsyncWire) -> Reply:
            if wire.witness is None:
                wire.witness = await self._choose(wire, left)
                await wire.call(load, left())  # else the time to confirm would go by behind a NOSCRIPT
            witness = wire.witness
            answers = await wire.call_all(data + witness.command, 4, left())
            if isinstance(answers[0], ServerError) and answers[0].code == "NOSCRIPT":
                await wire.call(load, left())
                answers = await wire.call_all(data + witness.command, 4, left())
            try:
                return self._rule.judge(witness, answers)
            except NotDurable:
                wire.close()
                raise

        place = cluster.place_of(self.url, data)
        return await self._converse(place, ask, until, is_durable=True)

    async def _choose(self, wire: AsyncWire, left: Callable[[], float]) -> Witness:
        role = await wire.call(ROLE, left())
        if self._rule.needs_replica(role):
            return self._rule.replicas(wire.peer, role, await reach.survey_async(self.url, wire.peer, left()))
        try:
            await wire.call(PROBE, left())
        except ServerError as error:
            self._rule.cannot(error)
            raise
        return self._rule.disk

    async def _attempt(self, verb: Script | None, data: bytes, until: float) -> Reply:
        longest = reach.patience(self.url, ATTEMPT_S)
        return await self._converse(
            cluster.place_of(self.url, data),
            lambda wire: wire.call_script(verb, data, min(until, time.monotonic() + longest)),
            until,
        )

    async def _converse(
        self, place: str, ask: Callable[[AsyncWire], Awaitable[Reply]], give_up: float, is_durable: bool = False
    ) -> Reply:
        pause = 0.01
        state = self._state()
        failure: Exception | None = None
        while True:
            try:
                wire = await state.shared(place, is_durable, give_up)
                return await ask(wire)
            except ServerError as error:
                if error.code == "OOM":
                    raise BrokerFull(f"the broker at {mask(self.url)} is full: {error}") from error
                if error.code not in (*PASSING, "NOSCRIPT"):
                    raise BrokerUnavailable(f"the broker at {mask(self.url)} refused: {error}") from error
                if error.code in reach.MOVED:
                    cluster.forget(self.url)
                    wire.close()
                failure = failure if isinstance(failure, NotDurable) else error
            except BrokerUnavailable as error:
                if not isinstance(failure, NotDurable):  # what that says stays true until somebody answers
                    failure = error
            if time.monotonic() + pause > give_up:
                raise unavailable(self.url, failure) from failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
