"""Connections to the broker. It decides how to connect and when an exchange has failed; it knows no keys or verbs.

The socket is used directly, with hiredis as the parser: redis-py's command machinery costs more time per call than the
broker's whole work (docs/decisions/0006).
Nothing is retried here except what the caller says is idempotent.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import hiredis

from distq.broker import cluster, dial, reach
from distq.broker.address import mask
from distq.broker.flight import Flight
from distq.broker.scripts import Reply, Script
from distq.broker.verbs import Command
from distq.errors import BrokerFull, BrokerUnavailable, NotDurable

if TYPE_CHECKING:
    from distq.broker.witness import Witness

NEVER = float("inf")
ATTEMPT_S = 5.0
"""Longest time for one attempt of a call, which is tried again over another connection."""
LATE_S = 1.0
"""How much later than it was told the server may answer that nothing came: then the connection is given up."""
T = TypeVar("T")

PASSING = ("LOADING", "READONLY", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "MISCONF",
           *cluster.MOVED)  # fmt: skip

_IN_SCRIPT = re.compile(r"ERR Error running script .*@user_script: *\d+: -?([A-Z]+ .*)", re.S)
"""How Redis 6.2 says that a command in a script was refused; newer ones say at once what the command said."""


class ServerError(Exception):
    """An error reply. `code` is its first word: texts differ between servers, codes do not."""

    def __init__(self, text: str) -> None:
        inside = _IN_SCRIPT.match(text)
        text = inside[1] if inside else text
        super().__init__(text)
        self.code = text.split(" ", 1)[0].lstrip("-")


class Wire:
    """One connection, used by one thread.

    1. connects, 2. writes bytes, 3. reads replies, each within `timeout` seconds unless told otherwise, however slowly
    it trickles: a time limit of the kernel alone begins again with each byte that comes.
    After any error but a ServerError it is closed: replies and requests can no longer be told apart.
    """

    def __init__(self, url: str, *, timeout: float, name: str = "distq", waits: bool = True) -> None:
        """`waits`: until the server has answered our greeting. Else, where its address is a plain one, `poll` does."""
        self._url, self.timeout = url, timeout
        address = None if waits else dial.plain(url)
        try:
            self._sock, self._unheard = dial.hail(address, name) if address else (reach.connect(url, timeout, name), 0)
        except (OSError, dial.Refused) as error:
            raise BrokerUnavailable(explain(url, error)) from error
        self._reader = hiredis.Reader(replyError=cast("Any", ServerError))
        self._pid = os.getpid()
        self.witness: Witness | None = None
        """What durable calls wait for on this connection, once it is known."""
        self.until = NEVER
        """When whatever is asked has to be answered (monotonic seconds), while an exchange says so."""
        self._limit = -1.0
        self._set_limit(timeout)

    def __del__(self) -> None:
        """Nobody has to close it, and nobody is warned."""
        if sock := self.__dict__.get("_sock"):
            sock.close()

    def fileno(self) -> int:
        """For select(): readable means a reply, or the end."""
        return self._sock.fileno()

    @property
    def peer(self) -> str:
        """The server at the other end: the same text for the same one. Raises BrokerUnavailable if it has hung up."""
        try:
            return str(self._sock.getpeername())
        except OSError as error:
            raise self._broken(error) from error

    @property
    def is_new(self) -> bool:
        """Whether the greeting has not been answered yet."""
        return self._unheard > 0

    @property
    def has_more(self) -> bool:
        """Whether something of another reply has been received: select() would not tell."""
        return bool(self._reader.has_data())

    def send(self, data: bytes) -> None:
        """Writes; a broker that does not take it within the time limit is unavailable."""
        self._send(data, self._deadline())

    def read(self, timeout: float | None = None) -> Reply:
        """The next reply. Raises ServerError for an error reply, BrokerUnavailable when there is none in time."""
        return self._read(self._deadline() if timeout is None else min(time.monotonic() + timeout, self.until))

    def poll(self) -> Reply:
        """The next reply, or False when it is not yet there as a whole: it does not wait. Raises as `read` does."""
        while (reply := self._arrived()) is not False and self._unheard:
            if isinstance(reply, ServerError):
                raise self._broken(dial.Refused(str(reply)))
            self._unheard -= 1
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def _arrived(self) -> Reply:
        """The next reply, whatever it is, or False."""
        try:
            while (reply := self._reader.gets()) is False:
                data = self._glance()
                if data is None:
                    return False
                if not data:
                    raise ConnectionResetError("closed by the broker")
                self._reader.feed(data)
        except (OSError, hiredis.ProtocolError) as error:
            raise self._broken(error) from error
        return reply

    def _glance(self) -> bytes | None:
        """What has arrived; None: nothing."""
        if type(self._sock) is socket.socket:
            try:
                return self._sock.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
        import ssl  # noqa: PLC0415 (who has such a connection has it already)

        self._sock.settimeout(0)
        try:
            return self._sock.recv(65536)
        except ssl.SSLWantReadError:
            return None
        finally:
            self._sock.settimeout(self._limit)

    def _send(self, data: bytes, until: float) -> None:
        try:
            self._bound(until)
            sent = self._sock.send(data)
            while sent < len(data):
                self._bound(until)
                sent += self._sock.send(memoryview(data)[sent:])
        except OSError as error:
            raise self._broken(error) from error

    def _read(self, until: float) -> Reply:
        reader = self._reader
        reply = reader.gets()
        if reply is False:
            try:
                while reply is False:
                    self._bound(until)
                    data = self._sock.recv(65536)
                    if not data:
                        raise ConnectionResetError("closed by the broker")
                    reader.feed(data)
                    reply = reader.gets()
            except (OSError, hiredis.ProtocolError) as error:
                raise self._broken(error) from error
        if isinstance(reply, ServerError):
            if reply.code in cluster.MOVED:
                cluster.forget(self._url)
            raise reply
        return reply

    def request(self, data: bytes, until: float | None = None) -> Reply:
        """Writes a command and reads its reply, both by this time (monotonic seconds) if it is given."""
        until = until or self._deadline()
        self._send(data, until)
        return self._read(until)

    def run(self, command: Command[T]) -> T:
        """Calls a verb; makes the server know its script first if it does not."""
        return command.parse(self.run_script(command.verb, command.data))

    def run_script(self, verb: Script | None, data: bytes) -> Reply:
        """The same for a call in wire form. None: it calls no script."""
        try:
            return self.request(data)
        except ServerError as error:
            if verb is None or error.code != "NOSCRIPT":
                raise
        self.request(verb.load_command())
        return self.request(data)

    def hang_up(self) -> None:
        """Ends the connection when the broker has seen that: from then on it hands nothing over on it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._bound(until := time.monotonic() + self.timeout)
            while self._sock.recv(65536):
                self._bound(until)
        self.close()

    def close(self) -> None:
        """Closes the socket at once; nothing is flushed. The connection ends, also if a program inherited it."""
        if self._pid == os.getpid():  # else it is that of the process which forked this one
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _broken(self, error: Exception) -> BrokerUnavailable:
        self.close()
        return BrokerUnavailable(explain(self._url, error))

    def _deadline(self) -> float:
        return min(time.monotonic() + self.timeout, self.until)

    def _bound(self, until: float) -> None:
        """What follows must not take longer than until then, give or take a tenth: a limit near enough stays."""
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if not left <= self._limit <= 1.1 * left:
            self._set_limit(1.05 * left + 1e-5)

    def _set_limit(self, seconds: float) -> None:
        """A time limit in the kernel: one system call less per read than Python's own, which polls first."""
        self._limit = seconds
        if type(self._sock) is not socket.socket:  # TLS
            self._sock.settimeout(seconds)
            return
        self._sock.settimeout(None)
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def explain(url: str, error: Exception) -> str:
    """Which address, and why."""
    return f"no broker at {mask(url)}: {dial.reason(error)}"


def unavailable(url: str, error: Exception) -> BrokerUnavailable:
    """The error for a call that was tried again until its time was over."""
    return error if isinstance(error, BrokerUnavailable) else BrokerUnavailable(explain(url, error))


class Exchange:
    """Connections that all threads of a process share, for calls that may be repeated.

    A call that fails is sent again over a new connection until `timeout` seconds have passed, in all; scripts recognize
    what they have already done. After a fork the child opens connections of its own.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self.timeout = url, timeout
        self._idle: deque[Wire] = deque()
        self._pid = os.getpid()

    def deadline(self) -> float:
        """When a call that begins now has to be over (monotonic seconds)."""
        return time.monotonic() + self.timeout

    def run(self, command: Command[T], until: float | None = None) -> T:
        """Calls a verb."""
        return command.parse(self.run_script(command.verb, command.data, until))

    def run_script(self, verb: Script | None, data: bytes, until: float | None = None) -> Reply:
        """The same for a call in wire form. None: it calls no script. `until`: for calls that share a deadline."""
        until = until or time.monotonic() + self.timeout
        try:
            wire = self.take(until)
            reply = wire.request(data, min(until, time.monotonic() + wire.timeout))
            self._idle.append(wire)
            return reply
        except (BrokerUnavailable, ServerError) as error:
            if isinstance(error, ServerError):
                self.give(wire)
            return self._insist(lambda wire: wire.run_script(verb, data), error, until)

    def call(self, ask: Callable[[Wire], Reply]) -> Reply:
        """The same for any conversation on one connection that may be repeated as a whole."""
        until = self.deadline()
        try:
            return self._ask(ask, until)
        except (BrokerUnavailable, ServerError) as error:
            return self._insist(ask, error, until)

    def flight(self, verb: Script) -> Flight:
        """For many calls of a verb, one after the other."""
        return Flight(self, verb)

    def start(self, verb: Script, data: bytes) -> Callable[[], Reply]:
        """Sends a call, and gives what waits for its reply, which must be called."""
        until = self.deadline()
        try:
            wire = self.take(until)
            wire.send(data)
        except BrokerUnavailable as error:
            return partial(self._insist, lambda wire: wire.run_script(verb, data), error, until)
        return partial(self._finish, wire, data, verb)

    def request(self, data: bytes, until: float | None = None) -> Reply:
        """Sends a plain command, which must be idempotent."""
        return self.run_script(None, data, until)

    def read_all(self, commands: list[bytes]) -> list[Reply]:
        """Several reading commands in one round trip. Raises BrokerUnavailable, also for an error reply."""
        if not commands:
            return []
        wire = self.take()
        try:
            wire.send(b"".join(commands))
            replies = [wire.read() for _ in commands]
        except ServerError as error:
            wire.close()
            raise BrokerUnavailable(f"the broker at {mask(self.url)} refused: {error}") from error
        self.give(wire)
        return replies

    def at(self, key: str) -> Exchange:
        """The exchange that has connections to where this key is: itself, where there is one place only."""
        return self

    def take(self, until: float | None = None) -> Wire:
        """A connection for the caller alone, until `give` or `close`; by this time, if a new one has to be made."""
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            limit = reach.patience(self.url, min(self.timeout, ATTEMPT_S))
            wire = Wire(self.url, timeout=limit if until is None else max(0.001, min(limit, until - time.monotonic())))
            wire.timeout = limit
            return wire

    def give(self, wire: Wire) -> None:
        """Returns a connection on which nothing is outstanding."""
        wire.until = NEVER
        self._idle.append(wire)

    def _finish(self, wire: Wire, data: bytes, verb: Script) -> Reply:
        until = self.deadline()
        try:
            reply = wire.read()
        except ServerError as error:
            self.give(wire)
            return self._insist(lambda wire: wire.run_script(verb, data), error, until)
        except BrokerUnavailable as error:
            return self._insist(lambda wire: wire.run_script(verb, data), error, until)
        self.give(wire)
        return reply

    def _ask(self, ask: Callable[[Wire], Reply], until: float) -> Reply:
        """One attempt of a conversation that has to be over by then; with BrokerUnavailable its connection is over."""
        wire = self.take(until)
        wire.until = until
        try:
            reply = ask(wire)
        except ServerError:
            self.give(wire)
            raise
        self.give(wire)
        return reply

    def _insist(self, ask: Callable[[Wire], Reply], error: Exception, until: float) -> Reply:
        pause = 0.01
        while True:
            if isinstance(error, ServerError) and error.code != "NOSCRIPT":
                if error.code == "OOM":
                    raise BrokerFull(f"the broker at {mask(self.url)} is full: {error}") from error
                if error.code not in PASSING:
                    raise BrokerUnavailable(f"the broker at {mask(self.url)} refused: {error}") from error
            if time.monotonic() + pause > until:
                raise unavailable(self.url, error) from error
            if not (isinstance(error, ServerError) and error.code == "NOSCRIPT"):
                self._idle.clear()
                time.sleep(pause)
                pause = min(pause * 2, 0.5)
            try:
                return self._ask(ask, until)
            except (BrokerUnavailable, ServerError) as again:
                if not isinstance(error, NotDurable):  # what that says stays true until somebody answers
                    error = again
