"""The faulty network of the tests does what it says: else what they show is worth nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.proxy import Blackhole, Chop, CutReply, CutRequest, Delay, Proxy, Refuse, Stall


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with Proxy(url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Any]:
    settings: dict[str, Any] = {"socket_timeout": 0.2, "retry": None, "client_name": "somebody"}
    with redis.Redis.from_url(proxy.url, **settings) as client:
        client.ping()
        yield client
        proxy.set()
        client.delete("n")


def test_a_reply_that_is_cut_off_was_to_a_request_that_ran(proxy: Proxy, client: Any) -> None:
    with proxy.fault(CutReply(match="INCR", times=1)):
        with pytest.raises(redis.ConnectionError):
            client.incr("n")
        assert client.incr("n") == 2


def test_a_request_that_is_cut_off_did_not_run(proxy: Proxy, client: Any) -> None:
    with proxy.fault(CutRequest(match="INCR", times=1)):
        with pytest.raises(redis.ConnectionError):
            client.incr("n")
        assert client.incr("n") == 1


@pytest.mark.parametrize(("requests", "replies", "ran"), [(True, False, None), (False, True, b"1")])
def test_a_black_hole_keeps_back_one_direction_until_it_is_taken_away(
    proxy: Proxy, client: Any, url: str, requests: bool, replies: bool, ran: bytes | None
) -> None:
    with redis.Redis.from_url(url) as direct:
        with proxy.fault(Blackhole(requests=requests, replies=replies, client="somebody")):
            with pytest.raises(redis.TimeoutError):
                client.incr("n")
            assert direct.get("n") == ran
        assert client.ping()


def test_a_reply_can_stall_half_way(proxy: Proxy, client: Any) -> None:
    client.set("n", "long")
    with proxy.fault(Stall(match="GET", after=3)), pytest.raises(redis.TimeoutError):
        client.get("n")
    with proxy.fault(Stall(match="GET", after=3, seconds=0.05)):
        assert client.get("n") == b"long"


def test_what_only_takes_time_arrives_whole(proxy: Proxy, client: Any) -> None:
    client.set("n", "long")
    begun = time.monotonic()
    with proxy.fault(Chop(match="GET", pause=0.01), Delay(match="GET", seconds=0.05)):
        assert client.get("n") == b"long"
    assert time.monotonic() - begun >= 0.05 + 0.01 * len(b"$4\r\nlong\r")


def test_connections_are_turned_away_and_cut(proxy: Proxy, client: Any) -> None:
    with proxy.fault(Refuse(times=1)):
        assert proxy.cut("somebody") == 1
        with pytest.raises(redis.ConnectionError):
            client.ping()
        assert client.ping()
    assert proxy.cut("nobody") == 0


@pytest.mark.parametrize("fault", [Chop(match="INCR", size=2), Stall(match="INCR", after=3, seconds=0.05)])
def test_a_fault_that_several_requests_met_doubles_no_reply(proxy: Proxy, url: str, fault: Chop | Stall) -> None:
    address = urlsplit(proxy.url)
    assert address.hostname
    with redis.Redis.from_url(url) as direct, socket.create_connection((address.hostname, address.port or 0)) as raw:
        raw.settimeout(5)
        with proxy.fault(fault):
            direct.execute_command("CLIENT", "PAUSE", "60000", "WRITE")
            for number in (1, 2):
                raw.sendall(b"INCR n\r\n")
                eventually(lambda number=number: fault.met == number, "it has met the request")  # type: ignore[misc]
            direct.execute_command("CLIENT", "UNPAUSE")
            direct.delete("nothing")
            said = b""
            while said.count(b"\r\n") < 2:
                said += raw.recv(100)
        raw.sendall(b"PING\r\n")
        while not said.endswith(b"+PONG\r\n"):
            said += raw.recv(100)
        direct.delete("n")
    assert said == b":1\r\n:2\r\n+PONG\r\n"
