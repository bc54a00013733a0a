"""The API as a part of another web application, and without what it needs."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from fastapi import FastAPI

from distq import ConfigurationError, Distq
from distq.cli.server import check_installed
from distq.server.access import read_keys
from distq.server.site import ServerConfig
from tests.server.conftest import ADMIN, KEYS

SERVED = ServerConfig(read_keys({"DISTQ_API_KEYS": KEYS}))


def declared(url: str) -> Distq:
    app = Distq("app", url)

    @app.task
    def add(a: int, b: int = 0) -> int:
        return a + b

    return app


async def ask(
    web: Any,
    method: str,
    path: str,
    body: bytes = b"",
    client: str = "127.0.0.1",
    into: dict[bytes, bytes] | None = None,
    **headers: str,
) -> tuple[int, bytes]:
    """Status and body of one request, as a server would call the application; its headers go `into` something."""
    lines = {"host": "127.0.0.1", "content-type": "application/json", **headers}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "server": ("127.0.0.1", 80),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()],
        "client": (client, 1234),
    }  # fmt: skip
    await web(scope, receive, send)
    if into is not None:
        into.update(sent[0]["headers"])
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_it_is_mounted_below_any_path(url: str) -> None:
    app, web = declared(url), FastAPI()
    web.mount("/distq", app.asgi(SERVED))

    async def main() -> None:
        call = json.dumps({"type": "add", "args": [1]}).encode()
        assert await ask(web, "GET", "/distq/livez") == (200, b"ok\n")
        assert (await ask(web, "GET", "/distq/api/v1/queues"))[0] == 401
        assert await ask(web, "POST", "/distq/enqueue") == (401, b"Unauthorized\n")
        assert (await ask(web, "GET", "/distq/api/v1/queues", x_api_key=ADMIN))[0] == 200
        first = json.dumps({"type": "add", "payload": 1}).encode()
        for path, body, status in (
            ("/distq/api/v1/tasks", call, 201),
            ("/distq/enqueue", first, 200),
            ("/api/v1/tasks", call, 404),
        ):
            assert (await ask(web, "POST", path, body, x_api_key=ADMIN))[0] == status
        assert (await ask(web, "GET", "/distq/enqueue", x_api_key=ADMIN)) == (405, b"Method not allowed\n")
        app.async_broker.close()

    asyncio.run(main())


def test_without_a_key_a_mounted_one_serves_this_machine_alone(url: str) -> None:
    web = declared(url).asgi(ServerConfig())

    async def main() -> None:
        assert (await ask(web, "GET", "/api/v1/queues"))[0] == 200
        assert (await ask(web, "GET", "/api/v1/queues", host="shop.example"))[0] == 400
        assert (await ask(web, "GET", "/api/v1/queues", client="10.0.0.7"))[0] == 403
        assert (await ask(web, "GET", "/api/v1/queues", x_forwarded_for="127.0.0.1"))[0] == 403
        assert (await ask(web, "GET", "/livez", host="shop.example"))[0] == 400

    asyncio.run(main())


@pytest.mark.parametrize("missing", ["fastapi", "starlette", "pydantic"])
def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == missing or name.startswith("distq.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'distq\[server\]'"):
        Distq("app", "redis://127.0.0.1:1/0").asgi()


def test_the_command_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("distq.cli.server.find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(ConfigurationError, match=r"needs uvicorn: pip install 'distq\[server\]'"):
        check_installed()
