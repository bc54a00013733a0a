"""The supervisor's connection: what the broker refuses holds up nobody else, and keeps its order."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest

from distq.broker import verbs
from distq.broker.link import Link
from distq.broker.scripts import encode
from distq.broker.verdicts import Verdicts
from tests.support.eventually import eventually
from tests.support.proxy import Proxy, Stall
from tests.support.room import Room, completed


@pytest.fixture
def link(room: Room) -> Iterator[Link]:
    link = Link(room.url, "test", silence_s=5.0)
    yield link
    link.close()


def drive(*links: Link, until: Callable[[], object]) -> None:
    """What a selector loop does."""

    def is_over() -> bool:
        for link in links:
            link.work()
        numbers = {number: link for link in links if (number := link.fileno()) is not None}
        for number in select.select(list(numbers), [], [], 0.01)[0]:
            numbers[number].readable()
        return bool(until())

    eventually(is_over, "the links have done it")


def test_what_has_to_be_done_keeps_its_order_when_it_is_refused_and_the_rest_does_not_wait(
    room: Room, link: Link
) -> None:
    """A verdict that was refused is not overtaken by a later one, nor by the end of its worker: it would be lost."""
    ids = [room.enqueue() for _ in range(3)]
    worker = room.register()
    room.step(worker)
    room.redis.delete(room.key("WAKE"))
    room.redis.set(room.key("WAKE"), "somebody broke it")
    said: list[str] = []

    def settle(number: int) -> None:
        command = verbs.settle(room.prefix, worker.name, number, Verdicts(1, completed(ids[number - 1])))
        link.submit(command, lambda answer: said.append(f"settle {number} {answer.word}"))

    settle(1)
    settle(2)
    link.submit(encode("PING"), lambda reply: said.append("ping"), lambda: None)
    drive(link, until=lambda: said)
    assert said == ["ping"]
    room.redis.delete(room.key("WAKE"))
    settle(3)
    link.submit(verbs.recover(room.prefix, worker.name, "died"), lambda answer: said.append(f"recover {answer.word}"))
    link.submit(encode("PING"), lambda reply: said.append("pong"), lambda: None)
    drive(link, until=lambda: len(said) == 6)
    assert said == ["ping", "pong", "settle 1 ok", "settle 2 ok", "settle 3 ok", "recover ok"]
    assert [room.where(id) for id in ids] == ["completed"] * 3
    assert link.is_idle


def test_a_reply_that_stalls_half_way_holds_up_nobody_else_and_is_given_up(room: Room, link: Link) -> None:
    said: list[str] = []
    with Proxy(room.url) as proxy:
        stalled = Link(proxy.url, "stalled", silence_s=3600)
        with proxy.fault(Stall(match="ECHO", after=3)):
            stalled.submit(encode("ECHO", "late"), lambda reply: said.append("late"))
            for turn in range(50):
                link.submit(encode("ECHO", turn), lambda reply: said.append(reply.decode()))
            drive(stalled, link, until=lambda: len(said) == 50)
            assert stalled.failing_since is None, "and meanwhile nobody waited for its rest"
            drive(stalled, link, until=lambda: stalled.failing_since is not None)
        drive(stalled, link, until=lambda: "late" in said)
        stalled.close()
    assert said == [*map(str, range(50)), "late"]


def test_a_server_that_takes_connections_and_says_nothing_holds_up_nobody(link: Link) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = Link(f"redis://127.0.0.1:{silent.getsockname()[1]}", "hung", silence_s=3600)
        hung.submit(encode("PING"), lambda reply: said.append("never"))
        for turn in range(50):
            link.submit(encode("ECHO", turn), lambda reply: said.append(reply.decode()))
        drive(hung, link, until=lambda: len(said) == 50)
        assert hung.failing_since is None, "and nobody waited for its greeting"
        drive(hung, link, until=lambda: hung.failing_since is not None)
        hung.close()
    assert said == [*map(str, range(50))]


def test_a_password_that_is_refused_is_told_with_what_mends_it(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    refused = Link(room.url.replace("unix://", "unix://nobody:wrong@"), "refused", silence_s=5.0)
    refused.submit(encode("PING"), lambda reply: None)
    drive(refused, until=lambda: refused.failing_since is not None)
    refused.close()
    assert "WRONGPASS" in caplog.text
    assert "has to be in the address, or in $DISTQ_BROKER_PASSWORD" in caplog.text
    assert "wrong@" not in caplog.text
