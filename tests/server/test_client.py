"""The Python client: the same calls and handles as beside a broker, over a server."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from distq import (
    AlreadyEnqueued,
    BrokerUnavailable,
    ConfigurationError,
    DistqError,
    NotWaiting,
    PayloadTooLarge,
    ResultNotKept,
    ResultTimeout,
    TaskCancelled,
    TaskFailed,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
)
from distq.client import Client
from distq.client.operator import Operator
from tests.server.conftest import ADMIN, READ, Work
from tests.server.test_document import DOCUMENT
from tests.support.eventually import eventually
from tests.support.proxy import CutReply, Proxy
from tests.support.room import Room
from tests.support.web import Web


@pytest.fixture
def client(web: Web) -> Iterator[Client]:
    client = Client(f"http://127.0.0.1:{web.port}/", ADMIN, timeout=5)
    yield client
    client.close()


def test_calls_and_handles_are_those_of_an_application(client: Client, work: Work) -> None:
    work()
    handle = client.enqueue("add", {"a": 1, "b": 2}, priority="high")
    assert handle.get(timeout=20) == 3
    assert (handle.status(), handle.created, handle.queue) == ("completed", True, "default")
    assert client.result(handle.id) == handle
    assert client.enqueue("add", 7).get(timeout=20) == 7
    assert [one.get(timeout=20) for one in client.enqueue_many("add", [(1, 2), [3], {"a": 5}])] == [3, 3, 5]
    mine = client.enqueue("echo", id="mine", delay=timedelta(hours=1), queue="mail")
    assert (mine.id, mine.status(), mine.created) == ("mine", "scheduled", True)
    assert not client.enqueue("echo", id="mine", queue="mail").created
    with pytest.raises(ResultTimeout):
        mine.get(timeout=0.1)
    mine.reschedule(eta=datetime.now(UTC) + timedelta(days=1), priority="low")
    assert mine.cancel()
    with pytest.raises(NotWaiting, match="it has ended"):
        mine.reschedule(delay=0)
    with pytest.raises(UnknownTask):
        client.result("nobody").reschedule(delay=0)
    with pytest.raises(TaskCancelled):
        mine.get()
    assert not mine.cancel()
    later = client.enqueue("echo", eta=datetime.now(UTC) + timedelta(days=1))
    assert later.status() == "scheduled"
    later.reschedule(delay=0)
    assert later.get(timeout=20) is None


def test_endings_are_the_errors_of_a_handle(client: Client, work: Work, tmp_path: Path) -> None:
    work()
    with pytest.raises(TaskFailed, match="no") as caught:
        client.enqueue("fail", "no").get(timeout=20)
    assert (caught.value.type, "Traceback" in caught.value.traceback) == ("ValueError", True)
    with pytest.raises(ResultNotKept):
        client.enqueue("silent").get(timeout=20)
    with pytest.raises(UnknownTask):
        client.result("nobody").get()
    assert client.result("nobody").status() == "unknown"
    running = client.enqueue("hold", str(tmp_path / "never"))
    eventually(lambda: running.status() == "running", "it runs")
    assert not running.cancel()
    assert running.cancel(running=True)
    with pytest.raises(TaskCancelled):
        running.get(timeout=20)


def test_what_does_not_fit_is_the_error_that_delay_raises(client: Client, web: Web) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        client.enqueue("add")
    with pytest.raises(TypeError, match=r"calls\.1"):
        client.enqueue_many("add", [(1,), ()])
    with pytest.raises(UnknownQueue):
        client.enqueue("add", 1, queue="nope")
    with pytest.raises(ConfigurationError, match="did you mean `add`"):
        client.enqueue("ad", 1)
    with pytest.raises(ConfigurationError, match="priority"):
        client.enqueue("add", 1, priority=9)
    with pytest.raises(PayloadTooLarge):
        client.enqueue("echo", "x" * (1 << 20))
    with pytest.raises(TypeError, match="cannot travel as JSON"):
        client.enqueue("echo", object())
    with pytest.raises(ValueError, match="JSON"):
        client.enqueue("echo", float("nan"))
    for key in (None, "wrong", READ):
        with pytest.raises(ConfigurationError, match="key"):
            Client(f"http://127.0.0.1:{web.port}", key).enqueue("add", 1)
    for url in ("127.0.0.1:80", "ftp://x", "http://", "http://user:secret@x"):
        with pytest.raises(ConfigurationError):
            Client(url)
    with pytest.raises(BrokerUnavailable):
        Client("http://127.0.0.1:1", timeout=0.2).enqueue("add", 1)


def test_every_call_works_for_asyncio_and_for_threads(client: Client, work: Work) -> None:
    work()

    async def main() -> list[Any]:
        handles = await asyncio.gather(*(client.aenqueue("add", {"a": n, "b": 1}) for n in range(50)))
        handles += await client.aenqueue_many("add", [(n,) for n in range(1500)])
        values = await asyncio.gather(*(handle.aget(timeout=30) for handle in handles[:60]))
        assert await handles[0].astatus() == "completed"
        assert not await handles[0].acancel()
        with pytest.raises(TypeError):
            await client.aenqueue("add")
        await client.aclose()
        return values

    assert asyncio.run(main()) == [n + 1 for n in range(50)] + list(range(10))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: client.enqueue("add", n).get(timeout=30), range(40))) == list(range(40))


def test_a_lost_answer_makes_no_second_task(web: Web, room: Room) -> None:
    with Proxy(f"redis://127.0.0.1:{web.port}") as proxy:
        client = Client(proxy.url.replace("redis://", "http://").removesuffix("/0"), ADMIN, timeout=10)
        with proxy.fault(CutReply(match="POST /api", times=2)):
            first = client.enqueue("echo", 1)
            many = client.enqueue_many("echo", [(1,), (2,)])

        async def main() -> str:
            with proxy.fault(CutReply(match="POST /api", times=1)):
                handle = await client.aenqueue("echo", 3)
            await client.aclose()
            return handle.id

        last = asyncio.run(main())
        client.close()
    entries = [entry.decode() for entry in room.redis.lrange(room.key("QUEUE", "default"), 0, -1)]
    assert entries == [first.id, *(handle.id for handle in many), last]


def test_what_is_there_already_is_the_error_that_delay_raises(client: Client) -> None:
    first = client.enqueue("strict", "ann")
    with pytest.raises(AlreadyEnqueued) as caught:
        client.enqueue("strict", "ann")
    assert caught.value.id == first.id

    async def main() -> None:
        try:
            await client.aenqueue_many("strict", [("bob",), ("ann",)])
        finally:
            await client.aclose()

    with pytest.raises(AlreadyEnqueued) as caught:
        asyncio.run(main())
    assert caught.value.id == caught.value.handles[1].id == first.id
    assert caught.value.handles[0].status() == "queued"


def test_the_client_knows_every_operation_of_the_document() -> None:
    """Each of its methods asks for another one, and none is missing but what its calls and handles
    do, and what only the pages of the dashboard need."""
    asked: list[tuple[str, str]] = []

    def ask(method: str, path: str, *_: Any, **__: Any) -> tuple[int, Any]:
        asked.append((method.lower(), path.partition("?")[0]))
        return 200, None

    api = Operator(ask)
    names = [name for name in vars(Operator) if not name.startswith("_")]
    for name in names:
        method = getattr(api, name)
        wanted = [one.name for one in signature(method).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
        method(*({"order": "{order}"}.get(one, "x") for one in wanted if one != "type" or name != "limits"))
    known = {
        (method, re.sub(r"\{\w+\}", "x", path))
        for path, found in DOCUMENT["paths"].items()
        for method in found
        if path.startswith("/api/v1/")
    }
    own = {
        ("post", "/api/v1/tasks"), ("post", "/api/v1/tasks/bulk"), ("post", "/api/v1/tasks/x/cancel"),
        ("post", "/api/v1/tasks/x/reschedule"),
        ("get", "/api/v1/results/x"), ("get", "/api/v1/events"),
        ("post", "/api/v1/queues/x/pause"), ("post", "/api/v1/queues/x/resume"),
    }  # fmt: skip
    dashboard = {(method, "/api/v1/session") for method in ("get", "post", "delete")}
    dashboard |= {("get", "/api/v1/overview"), ("get", "/api/v1/types")}
    told = {(method, path.replace("%7Border%7D", "x")) for method, path in asked}
    assert len(told) == len(names)
    assert told == known - own - dashboard


def test_a_system_is_looked_after_for_threads_and_for_asyncio(client: Client, work: Work) -> None:
    work()
    api = client.api
    id = client.enqueue("fail", "no").id
    eventually(lambda: api.task(id)["status"] == "dead", "it is dead")
    assert api.dead(type="fail")["dead"][0]["id"] == id
    assert api.retry(id, args=["well"])["created"]
    assert api.pause(type="add", reason="no")["changed"]
    assert api.why(client.enqueue("add", 1).id)["gates"][0]["name"] == "type_paused"
    with pytest.raises(UnknownTask):
        api.why("nobody")
    with pytest.raises(UnknownSchedule):
        api.trigger_schedule("nobody")
    with pytest.raises(UnknownQueue):
        api.queue("nope")
    with pytest.raises(ConfigurationError, match="rate"):
        api.set_limits("geo", rate="fast")

    async def main() -> list[Any]:
        made = await client.aapi.create_schedule("s/1", "@every 5m", "add", args=[1], jitter=timedelta(seconds=3))
        found = [made["jitter"], (await client.aapi.pauses())["pauses"][0]["reason"]]
        await client.aapi.delete_schedule("s/1")
        with pytest.raises(UnknownSchedule):
            await client.aapi.schedule("s/1")
        await client.aclose()
        return found

    assert asyncio.run(main()) == [3.0, "no"]


ODD = [
    (404, b"<html>Not Found</html>", DistqError, "does the address lead to one"),
    (200, b"<html>", DistqError, "does the address lead to one"),
    (200, b"[]", DistqError, "does the address lead to one"),
    (418, b"{}", DistqError, "the server says 418"),
    (401, b"{}", ConfigurationError, "the server says 401"),
    (502, b"<html>", BrokerUnavailable, "the server says 502"),
]


@pytest.mark.parametrize(("status", "body", "error", "said"), ODD)
def test_what_is_no_distq_server_is_told_as_such(status: int, body: bytes, error: type[Exception], said: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.01,))
        thread.start()
        client = Client(f"http://127.0.0.1:{other.server_port}", timeout=0.5)
        try:
            for ask in (client.result("x").status, client.api.queues):
                with pytest.raises(error, match=said):
                    ask()
        finally:
            client.close()
            other.shutdown()
            thread.join()


def test_a_cancel_whose_answer_is_lost_has_cancelled(web: Web, room: Room) -> None:
    with Proxy(f"redis://127.0.0.1:{web.port}") as proxy:
        client = Client(proxy.url.replace("redis://", "http://").removesuffix("/0"), ADMIN, timeout=10)
        handle = client.enqueue("echo", delay=3600)
        with proxy.fault(CutReply(match="/cancel", times=1)):
            assert handle.cancel()
        client.close()
