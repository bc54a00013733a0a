"""The HTTP API of the benchmarks' application, and beside it a bare echo in the same server."""

from __future__ import annotations

import sys
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from benchmarks.tasks import app
from distq.server import serve
from distq.server.access import Keys, read_keys
from distq.server.api import build, guarded
from distq.server.site import ServerConfig

KEY = "benchmark-key-benchmark-key"

echo = FastAPI(openapi_url=None)


@echo.post("/echo")
async def answer(request: Request) -> Response:
    """What was sent."""
    return Response(await request.body(), media_type="application/json")


def keys() -> Keys:
    """One key."""
    return read_keys({"DISTQ_API_KEYS": f"bench admin {KEY}"})


def main() -> int:
    """Listens on a free port, and says which."""
    app.rebind(sys.argv[1])
    api = build(app, ServerConfig(keys()))
    ours = guarded(api, app, ServerConfig(keys()))

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (echo if scope.get("path") == "/echo" else ours)(scope, receive, send)

    listening = serve.bind("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    serve.run(both, listening, api.state.site.close)
    return 0


if __name__ == "__main__":
    sys.exit(main())
