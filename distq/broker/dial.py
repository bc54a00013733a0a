"""Opens connections: where the broker is, who asks, which database. What is said on them is not known here.

An address without options is opened with the socket module alone. TLS, and options in an address (`?ssl_ca_certs=…`),
are redis-py's. It is imported for them only: it takes 0.1 s and 14 MiB of every process, and its way of connecting
touches 4 MiB of what a worker process would otherwise share with the others (docs/decisions/0006).
"""

from __future__ import annotations

import re
import socket
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import hiredis

from distq.broker.scripts import Reply, encode

if TYPE_CHECKING:
    import asyncio

KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""A peer that is gone without a word is noticed within 45 s, by the kernel."""

CONNECT_S = 0.5
"""Longest time for a kernel to answer, where somebody has other things to do meanwhile."""


class Question(NamedTuple):
    """What to ask over a new connection, to find out whether it is the right one."""

    url: str
    """Of a single server."""
    command: bytes
    limit_s: float


class Refused(Exception):
    """The broker does not let us in, or redis-py has a reason of its own; its text is for people."""


class Address(NamedTuple):
    """A broker that needs neither TLS nor options."""

    path: str
    """Of a unix socket; empty: TCP."""
    host: str
    port: int
    username: str
    password: str
    database: int


@lru_cache(maxsize=16)
def plain(url: str) -> Address | None:
    """The address, if it is a plain one; what it cannot read is left to redis-py, too, which says what is wrong."""
    parts = urlsplit(url)
    try:
        port = parts.port or 6379
    except ValueError:
        return None
    path = unquote(parts.path)
    is_unix = parts.scheme == "unix"
    if parts.query or parts.fragment or parts.scheme not in ("redis", "unix") or is_unix != bool(is_unix and path):
        return None
    if not is_unix and not re.fullmatch(r"/?[0-9]{0,9}", path, re.ASCII):
        return None
    who = (unquote(parts.username or ""), unquote(parts.password or ""))
    if is_unix:
        return Address(path, "", 0, *who, 0)
    return Address("", unquote(parts.hostname or "localhost"), port, *who, int(path.strip("/") or 0))


def check(url: str) -> None:
    """Raises ValueError for an address that cannot be read."""
    if plain(url) is None:
        import redis  # noqa: PLC0415 (see above)

        pool: Any = redis.ConnectionPool.from_url(url, **_settings(url, 1.0, ""))
        try:
            pool.make_connection()  # connects nothing
        except TypeError as error:
            raise ValueError(f"an option does not exist here ({error})") from error


def dial(url: str, timeout: float, name: str) -> socket.socket:
    """A connection on which commands can be sent; its time limit is `timeout` seconds.

    Raises OSError, or Refused.
    """
    address = plain(url)
    if address is None:
        return _dial_with_redis(url, timeout, name)
    sock = _connect(address, timeout)
    try:
        words = greeting(address, name)
        ask(sock, b"".join(words), len(words))
    except BaseException:
        sock.close()
        raise
    return sock


def hail(address: Address, name: str) -> tuple[socket.socket, int]:
    """A connection on which the greeting was sent, and how many replies are to come: nobody waits here for a server
    that takes connections and says nothing. Raises OSError."""
    sock = _connect(address, CONNECT_S)
    words = greeting(address, name)
    try:
        sock.sendall(b"".join(words))
    except BaseException:
        sock.close()
        raise
    return sock, len(words)


def ask(sock: socket.socket, data: bytes, number: int = 1) -> Reply:
    """Sends commands on a connection that has no outstanding ones; the last reply, within the socket's time limit,
    however slowly it trickles. Raises OSError, or Refused."""
    limit = sock.gettimeout() or 0.0
    until = time.monotonic() + limit
    sock.sendall(data)
    replies = _Replies()
    for _ in range(number):
        while not replies.next():
            sock.settimeout(max(0.001, until - time.monotonic()))
            replies.feed(sock.recv(4096))
    sock.settimeout(limit)
    return replies.last


async def dial_async(url: str, timeout: float, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The same for the running event loop."""
    import asyncio  # noqa: PLC0415 (only who is in an event loop has it already)

    address = plain(url)
    if address is None:
        return await _dial_async_with_redis(url, timeout, name)
    async with asyncio.timeout(timeout):
        if address.path:
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            keep_alive(writer.get_extra_info("socket"))
        try:
            words = greeting(address, name)
            await ask_async(reader, writer, b"".join(words), len(words))
        except BaseException:
            writer.close()
            raise
    return reader, writer


async def ask_async(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, number: int = 1
) -> Reply:  # fmt: skip
    """`ask` for the running event loop, without a time limit of its own."""
    writer.write(data)
    replies = _Replies()
    for _ in range(number):
        while not replies.next():
            replies.feed(await reader.read(4096))
    return replies.last


def greeting(address: Address, name: str) -> list[bytes]:
    """What is said first: who we are, what we are called, which database we want."""
    words = []
    if address.username:
        words.append(encode("AUTH", address.username, address.password))
    elif address.password:
        words.append(encode("AUTH", address.password))
    words.append(encode("CLIENT", "SETNAME", name))
    if address.database:
        words.append(encode("SELECT", address.database))
    return words


class _Replies:
    """The answers to what is said before the connection is anybody's."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self.last: Reply = None

    def feed(self, data: bytes) -> None:
        if not data:
            raise ConnectionResetError("closed by the broker")
        self._reader.feed(data)

    def next(self) -> bool:
        """Whether there is one more. Raises Refused if it is an error, or none."""
        try:
            reply = self._reader.gets()
        except hiredis.ProtocolError as error:
            raise Refused(str(error)) from error
        if isinstance(reply, Exception):
            raise Refused(str(reply))
        self.last = reply
        return reply is not False


def reason(error: Exception) -> str:
    """Why there is no connection, for people."""
    if type(error).__module__ == "ssl":  # which is imported for TLS only
        if hasattr(error, "verify_message"):
            return f"its certificate is refused: {error.verify_message} (ssl_ca_certs= names the authority to trust)"
        return f"TLS: {error!s}: does it speak TLS, or want a certificate (ssl_certfile=, ssl_keyfile=)?"
    if isinstance(error, BlockingIOError | TimeoutError):
        return "no answer in time"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    if is_refusal(said):
        return f"{said} (the password of this user has to be in the address, or in $DISTQ_BROKER_PASSWORD)"
    return said


def is_refusal(said: str) -> bool:
    """Whether a server that is there does not let this user in."""
    return any(word in said for word in ("NOAUTH", "WRONGPASS", "invalid username-password"))


def is_forbidden(said: str) -> bool:
    """Whether this user lacks a right; Redis 6.2 has words of its own for a command in a script."""
    return any(word in said for word in ("NOPERM", "permission", "user executing the script can't"))


def keep_alive(sock: socket.socket) -> None:
    """Has the kernel look after a silent peer, where it can."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _connect(address: Address, timeout: float) -> socket.socket:
    if not address.path:
        sock = socket.create_connection((address.host, address.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock


# -- what redis-py opens ----------------------------------------------------------------------------------------------


def _settings(url: str, timeout: float, name: str) -> dict[str, Any]:
    """Nothing of redis-py's defaults is left to its release."""
    told: dict[str, Any] = {
        "protocol": 2,
        "client_name": name,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 0,
    }
    return told if url.startswith("unix:") else told | {"socket_keepalive": True}


def _dial_with_redis(url: str, timeout: float, name: str) -> socket.socket:
    import redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    try:
        pool: Any = redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **_settings(url, timeout, name))
        connection = pool.make_connection()
        connection.connect()
    except redis.RedisError as error:
        raise _reason(error) from error
    sock, connection._sock = connection._sock, None  # its __del__ would close it
    return cast("socket.socket", sock)


async def _dial_async_with_redis(
    url: str, timeout: float, name: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    import redis.asyncio  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    pool: Any = redis.asyncio.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **_settings(url, timeout, name))
    try:
        connection = pool.make_connection()
        await connection.connect()
    except redis.RedisError as error:
        raise _reason(error) from error
    found = connection._reader, connection._writer
    connection._reader = connection._writer = None  # its __del__ would warn although we close
    return found


def _reason(error: Exception) -> Exception:
    """An error of redis-py without redis-py."""
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, OSError) else Refused(str(error))
