"""The short way: the calls that create tasks go past the web framework, which would cost more than the rest of them.

The framework knows the same functions: it has them in its document, and answers other methods of their paths. What they
raise becomes the same answers here as there (docs/decisions/0048).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from distq.server import first_system, problems, tasks
from distq.server.guard import own_path

Handler = Callable[[Request], Awaitable[Response]]

POSTS: Mapping[str, Handler] = {
    "/enqueue": first_system.enqueue,
    "/api/v1/tasks": tasks.create,
    "/api/v1/tasks/bulk": tasks.create_many,
}


class ShortWay:
    """An application in front of the framework's, which has all the others."""

    def __init__(self, api: FastAPI, others: ASGIApp) -> None:
        self._api, self._others = api, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        handler = POSTS.get(own_path(scope)) if scope.get("method") == "POST" else None
        if handler is None:
            await self._others(scope, receive, send)
            return
        scope["app"] = self._api
        try:
            response = await handler(Request(scope, receive))
        except ValidationError as error:
            response = problems.invalid(error)
        except Exception as error:
            found = problems.of(error)
            if found is None:
                raise
            response = found.answer()
        await response(scope, receive, send)
