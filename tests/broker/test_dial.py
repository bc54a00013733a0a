"""Who connects, and to what: with a password, with options, to a server that refuses or says nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import redis

from distq.broker.connect import Wire
from distq.broker.dial import Refused, dial_async
from distq.broker.scripts import encode
from distq.embedded import EmbeddedBroker
from distq.errors import BrokerUnavailable
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.room import Room

USER, PASSWORD = "ann@home", "s3c/ret:%"
QUOTED = "ann%40home:s3c%2Fret%3A%25@"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that listens on TCP, and knows a user with a password."""
    number = free_port()
    with EmbeddedBroker(port=number) as broker, redis.Redis.from_url(broker.url) as client:
        client.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
        yield number


def whoami(url: str) -> tuple[str, dict[str, str]]:
    """The user of a new connection, and what the server says about that."""
    wire = Wire(url, timeout=5.0, name="me")
    user = wire.request(encode("ACL", "WHOAMI")).decode()
    info = dict(word.split("=", 1) for word in wire.request(encode("CLIENT", "INFO")).decode().split())
    wire.close()
    return user, info


@pytest.mark.parametrize("options", ["", "?socket_keepalive=yes"])
def test_user_name_and_database_arrive(port: int, options: str) -> None:
    user, info = whoami(f"redis://{QUOTED}127.0.0.1:{port}/3{options}")
    assert user == USER
    assert (info["name"], info["db"]) == ("me", "3")
    assert whoami(f"redis://127.0.0.1:{port}{options}")[0] == "default"


@pytest.mark.parametrize("options", ["", "?db=3"])
def test_a_unix_socket_has_a_user_too(room: Room, options: str) -> None:
    room.redis.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
    user, info = whoami(room.url.replace("unix://", f"unix://{QUOTED}") + options)
    room.redis.acl_deluser(USER)
    assert (user, info["db"]) == (USER, "3" if options else "0")


@pytest.mark.parametrize("options", ["", "?socket_keepalive=yes"])
def test_a_wrong_password_is_said_to_be_one(port: int, options: str) -> None:
    with pytest.raises(BrokerUnavailable, match="invalid username-password pair"):
        Wire(f"redis://ann:wrong@127.0.0.1:{port}{options}", timeout=5.0)


@pytest.mark.parametrize("options", ["", "?socket_keepalive=yes"])
def test_nobody_there_is_said_with_the_reason_of_the_system(options: str) -> None:
    with pytest.raises(BrokerUnavailable, match=r"no broker at redis://127.0.0.1:1\S*: Connection refused"):
        Wire(f"redis://127.0.0.1:1{options}", timeout=5.0)


@pytest.mark.parametrize("options", ["", "?socket_keepalive=yes"])
def test_a_server_that_says_nothing_is_given_up(options: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}{options}"
        with pytest.raises(BrokerUnavailable, match="no answer in time"):
            Wire(url, timeout=0.05)


def test_something_that_is_no_broker_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = subprocess.Popen(
            [sys.executable, "-c", _DIAL, f"redis://127.0.0.1:{other.getsockname()[1]}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = other.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert asked.communicate(timeout=30)[0].startswith("Refused")
        connection.close()


_DIAL = """
import sys
from distq.broker.dial import dial
try:
    dial(sys.argv[1], 5.0, "me")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("options", ["", "?db=3"])
def test_an_event_loop_connects_the_same_way(port: int, room: Room, options: str) -> None:
    async def info(url: str) -> str:
        reader, writer = await dial_async(url, 5.0, "me")
        writer.write(encode("CLIENT", "INFO"))
        await reader.readuntil(b"\r\n")
        said = (await reader.readuntil(b"\r\n")).decode()
        writer.close()
        return said

    tcp = asyncio.run(info(f"redis://{QUOTED}127.0.0.1:{port}{options or '/3'}"))
    assert f"user={USER}" in tcp
    assert " db=3 " in tcp
    assert "name=me" in asyncio.run(info(room.url + options))


@pytest.mark.parametrize("options", ["", "?db=3"])
def test_an_event_loop_is_refused_the_same_way(port: int, options: str) -> None:
    with pytest.raises(Refused, match="invalid username-password pair"):
        asyncio.run(dial_async(f"redis://ann:wrong@127.0.0.1:{port}{options}", 5.0, "me"))
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        asyncio.run(dial_async(f"redis://127.0.0.1:1{options}", 5.0, "me"))


def test_only_the_process_that_connected_ends_the_connection(room: Room) -> None:
    wire = Wire(room.url, timeout=5.0)
    pid = os.fork()
    if pid == 0:
        wire.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert wire.request(encode("PING")) == b"PONG"
    inherited = os.dup(wire.fileno())  # as a program that a task has started may hold it
    clients: Callable[[], int] = lambda: len(room.redis.client_list())  # noqa: E731
    before = clients()
    wire.close()
    eventually(lambda: clients() == before - 1, "the server sees the end")
    os.close(inherited)


def test_a_plain_address_needs_no_redis_py(room: Room) -> None:
    code = (
        "import sys\n"
        "from distq.broker.dial import dial\n"
        "sock = dial(sys.argv[1], 5.0, 'me')\n"
        "print(sock.gettimeout(), 'redis' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, room.url], capture_output=True, text=True, check=True)
    assert done.stdout == "5.0 False\n"
