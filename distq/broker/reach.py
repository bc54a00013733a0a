"""Opens a connection to the server that has the data: the one that the address names, or that
sentinels or the nodes of a cluster name."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from distq.broker import cluster, dial, sentinel

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Generator

    from distq.broker.dial import Question
    from distq.broker.scripts import Reply

T = TypeVar("T")

SCHEMES = ("redis", "rediss", "unix", *sentinel.SCHEMES, *cluster.SCHEMES)

QUICK_S = 2.0
"""Where another server can take over, one that is silent for so long is left: a stopped one never says no."""

MOVED = ("READONLY", "UNBLOCKED", "MASTERDOWN", "LOADING", *cluster.MOVED)
"""Refusals of a server that is not the primary, or not any more: the next connection may lead to another one."""


def check(url: str) -> None:
    """Raises ValueError for an address that cannot be read."""
    if sentinel.is_sentinel(url):
        sentinel.read(url)
    elif cluster.is_cluster(url):
        cluster.read(url)
    else:
        dial.check(url)


def patience(url: str, most: float) -> float:
    """How long to wait for a reply, at most `most` seconds, before the connection is made anew."""
    return min(most, QUICK_S) if sentinel.is_sentinel(url) or cluster.is_cluster(url) else most


def _search(url: str) -> Generator[Question, Reply | Exception, None] | None:
    """What finds the server; None: the address names it."""
    if sentinel.is_sentinel(url):
        return sentinel.search(url)
    return cluster.search(url) if cluster.is_cluster(url) else None


def connect(url: str, timeout: float, name: str) -> socket.socket:
    """A connection on which commands can be sent; its time limit is `timeout` seconds. Raises OSError, or Refused."""
    search = _search(url)
    return dial.dial(url, timeout, name) if search is None else _hold(search, timeout, name)[0]


async def connect_async(url: str, timeout: float, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The same for the running event loop."""
    search = _search(url)
    return (
        await dial.dial_async(url, timeout, name) if search is None else (await _hold_async(search, timeout, name))[0]
    )


def survey(url: str, peer: str, timeout: float) -> int | None:
    """How many replicas of this peer could be promoted, as a sentinel sees it; None: no sentinel says anything."""
    if not sentinel.is_sentinel(url):
        return None
    try:
        sock, number = _hold(sentinel.survey(url, peer), timeout, "distq-survey")
    except dial.Refused:
        return None
    sock.close()
    return number


async def survey_async(url: str, peer: str, timeout: float) -> int | None:
    """The same for the running event loop."""
    if not sentinel.is_sentinel(url):
        return None
    try:
        streams, number = await _hold_async(sentinel.survey(url, peer), timeout, "distq-survey")
    except dial.Refused:
        return None
    _abort(streams)
    return number


def _hold(search: Generator[Question, Reply | Exception, T], timeout: float, name: str) -> tuple[socket.socket, T]:
    """Holds a conversation; the connection to whoever was asked last, and what it came to."""
    question = next(search)
    while True:
        sock = None
        try:
            sock = dial.dial(question.url, min(timeout, question.limit_s), name)
            reply = dial.ask(sock, question.command)
        except (OSError, dial.Refused) as error:
            reply = error
        try:
            question = search.send(reply)
        except StopIteration as end:
            assert sock is not None
            sock.settimeout(timeout)
            return sock, end.value
        except dial.Refused:
            _close(sock)
            raise
        _close(sock)


async def _hold_async(
    search: Generator[Question, Reply | Exception, T], timeout: float, name: str
) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], T]:
    """The same for the running event loop."""
    import asyncio  # noqa: PLC0415 (only who is in an event loop has it already)

    question = next(search)
    while True:
        streams = None
        try:
            limit = min(timeout, question.limit_s)
            streams = await dial.dial_async(question.url, limit, name)
            async with asyncio.timeout(limit):
                reply = await dial.ask_async(*streams, question.command)
        except (OSError, dial.Refused) as error:
            reply = error
        try:
            question = search.send(reply)
        except StopIteration as end:
            assert streams is not None
            return streams, end.value
        except dial.Refused:
            _abort(streams)
            raise
        _abort(streams)


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()


def _abort(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if streams is not None:
        streams[1].transport.abort()
